"""The pipeline's Evaluator measures on whole records or not at all."""

import os
import shutil

import pytest
import tensorflow as tf
from tfx.components.evaluator import executor as stock
from tfx.types.standard_artifacts import Examples

from avmae_tf.data.dataset import load_dataset
from components.evaluator.component import Evaluator
from components.evaluator.executor import Executor


@pytest.fixture
def measured(monkeypatch) -> list:
    """The folders that TFX's executor was asked to measure on."""
    folders = []
    monkeypatch.setattr(
        stock.Executor, 'Do', lambda self, given, *rest: folders.append(given['examples'][0].uri)
    )
    return folders


def evaluate(folder):
    examples = Examples()
    examples.uri = str(folder)
    Executor().Do({'examples': [examples]}, {}, {'example_splits': '["eval"]'})


def test_records_without_damage_are_measured(records, measured):
    evaluate(records)
    assert measured == [records]
    assert Evaluator.EXECUTOR_SPEC.executor_class is Executor


def test_a_shard_cut_between_two_records_is_not_measured(records, measured, tmp_path):
    folder = shutil.copytree(records, tmp_path / 'records')
    shard = load_dataset(str(folder)).shards('eval')[0]
    path = os.path.join(folder, shard.path)
    kept = list(tf.data.TFRecordDataset(path).as_numpy_iterator())[:-1]
    with tf.io.TFRecordWriter(path) as writer:
        for record in kept:
            writer.write(record)
    with pytest.raises(ValueError, match=shard.path):
        evaluate(folder)
    assert not measured
