"""The pipeline's Evaluator measures on whole records or not at all."""

import os
import shutil

import pytest
import tensorflow as tf
from tfx.components.evaluator import executor as stock
from tfx.types.standard_artifacts import Examples, ModelEvaluation

from avmae_tf.data.dataset import load_dataset
from components.evaluation import staging
from components.evaluator.component import Evaluator
from components.evaluator.executor import Executor


@pytest.fixture
def measured(monkeypatch) -> list:
    """The folders that TFX's executor was asked to measure on."""
    folders = []

    def measure(self, given, made, properties):
        folder = given['examples'][0].uri
        folders.append(folder)
        with open(os.path.join(made['evaluation'][0].uri, 'seen'), 'w') as f:
            f.write(' '.join(sorted(os.listdir(os.path.join(folder, 'Split-eval')))))

    monkeypatch.setattr(stock.Executor, 'Do', measure)
    return folders


@pytest.fixture
def report(tmp_path):
    """Where the Evaluator writes to."""
    folder = tmp_path / 'report'
    folder.mkdir()
    return folder


def evaluate(folder, report):
    examples, evaluation = Examples(), ModelEvaluation()
    examples.uri, evaluation.uri = str(folder), str(report)
    made = {'evaluation': [evaluation]}
    Executor().Do({'examples': [examples]}, made, {'example_splits': '["eval"]'})
    assert examples.uri == str(folder) and evaluation.uri == str(report)


def test_records_without_damage_are_measured(records, measured, report):
    evaluate(records, report)
    assert measured == [records]
    assert Evaluator.EXECUTOR_SPEC.executor_class is Executor


def test_what_beam_does_not_reach_is_measured_on_a_copy_and_reported_where_it_should(
    records, measured, report, monkeypatch
):
    monkeypatch.setattr(staging, 'ADDED_SCHEMES', ('file',))
    evaluate(f'file://{records}', f'file://{report}')
    (here,) = measured
    assert here not in records and not os.path.exists(here)
    assert (report / 'seen').read_text().split() == sorted(os.listdir(f'{records}/Split-eval'))


def test_a_shard_cut_between_two_records_is_not_measured(records, measured, report, tmp_path):
    folder = shutil.copytree(records, tmp_path / 'records')
    shard = load_dataset(str(folder)).shards('eval')[0]
    path = os.path.join(folder, shard.path)
    kept = list(tf.data.TFRecordDataset(path).as_numpy_iterator())[:-1]
    with tf.io.TFRecordWriter(path) as writer:
        for record in kept:
            writer.write(record)
    with pytest.raises(ValueError, match=shard.path):
        evaluate(folder, report)
    assert not measured
