"""Few clips with a label among many without: who leaves them out, and what is refused."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from avmae_tf.cli.train import finetune
from avmae_tf.config import RunSpec
from avmae_tf.data.dataset import DATASET_FILE, load_dataset, save_dataset
from avmae_tf.data.inputs import eval_batches, training_batches
from avmae_tf.data.labelled import count_labels
from avmae_tf.data.records import label_index_key
from avmae_tf.training.tasks import FinetuneTask, PretrainTask
from avmae_tf.training.trainer import Trainer
from components.evaluation import analysis

LABELLED = {'train': 12, 'eval': 5}
CLASSES = ('a', 'b', 'c', 'd', 'e', 'f')
SPLITS = ('train', 'eval')


def relabelled(source: str, out, labels, splits=SPLITS, heads=None):
    """The records of a folder, with `labels(split, number)` by head, in an older description."""
    dataset = load_dataset(source)
    shards = {}
    for split in splits:
        number, shards[split] = 0, []
        for shard in dataset.shards(split):
            path = out / shard.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with tf.io.TFRecordWriter(str(path)) as writer:
                for record in tf.data.TFRecordDataset(f'{source}/{shard.path}'):
                    example = tf.train.Example.FromString(record.numpy())
                    for head, indices in labels(split, number).items():
                        feature = example.features.feature[label_index_key(head)]
                        feature.int64_list.value[:] = indices
                    writer.write(example.SerializeToString())
                    number += 1
            shards[split].append({'path': shard.path, 'num_examples': shard.num_examples})
    changes = {'heads': heads or {'label': CLASSES}, 'splits': shards, 'fingerprint': out.name}
    save_dataset(str(out), dataset.replace(**changes))
    return str(out)


def few(split: str, number: int) -> dict[str, list[int]]:
    """Every third clip of the first has a label."""
    labelled = number % 3 == 0 and number // 3 < LABELLED[split]
    return {'label': [number // 3 % len(CLASSES)] if labelled else []}


@pytest.fixture(scope='module')
def folder(records, tmp_path_factory) -> str:
    return relabelled(records, tmp_path_factory.mktemp('few') / 'few', few)


@pytest.fixture(scope='module')
def counted(folder):
    return count_labels(folder, load_dataset(folder), SPLITS)


def test_a_description_without_counts_is_counted_and_one_with_counts_believed(folder, counted):
    for split, count in LABELLED.items():
        assert counted.num_examples(split, labelled=True) == count
        assert sum(s.num_several for s in counted.splits[split]) == 0
    assert counted.num_examples('train') == 48
    assert count_labels('/nowhere', counted, SPLITS) == counted
    with pytest.raises(AssertionError, match='labels must be counted first'):
        load_dataset(folder).num_examples('train', labelled=True)


def test_conversion_writes_what_reading_counts(records, dataset):
    bare = {
        split: [{'path': s.path, 'num_examples': s.num_examples} for s in dataset.shards(split)]
        for split in SPLITS
    }
    again = count_labels(records, dataset.replace(splits=bare), SPLITS)
    for split in SPLITS:
        for ours, theirs in zip(again.splits[split], dataset.splits[split], strict=True):
            assert (ours.num_labelled, ours.num_several) == (
                theirs.num_labelled, theirs.num_several,
            )  # fmt: skip
    assert dataset.num_examples('train', labelled=True) == 48


def test_an_epoch_of_finetuning_is_the_labelled_clips_and_resumes_exactly(
    folder, counted, finetune_config
):
    def batches(start=0, **changes):
        return training_batches(
            folder, counted, finetune_config.replace(**changes),
            batch_size=4, start=start, labelled=True,
        )  # fmt: skip

    whole = list(batches().take(9))
    for epoch in range(3):
        labels = np.concatenate([b['label'] for b in whole[3 * epoch : 3 * epoch + 3]])
        assert labels.sum(axis=0).tolist() == [2] * 6
    for step in (2, 8):
        (resumed,) = batches(start=4 * step).take(1)
        for name, value in resumed.items():
            np.testing.assert_array_equal(value, whole[step][name])
    for batch in batches(streams=2).take(5).as_numpy_iterator():
        assert batch['label'].sum(axis=1).tolist() == [1] * 4
    everything = training_batches(folder, counted, finetune_config, batch_size=48)
    assert next(iter(everything))['label'].numpy().sum() == LABELLED['train']


def test_testing_sees_the_labelled_clips_once(folder, counted, finetune_config):
    batches = list(
        eval_batches(folder, counted, finetune_config, batch_size=4, num_views=1, labelled=True)
    )
    weights = np.concatenate([batch['weight'] for batch in batches])
    labels = np.concatenate([batch['label'] for batch in batches])
    assert weights.tolist() == [1.0] * 5 + [0.0] * 3
    assert labels[weights > 0].sum(axis=0).tolist() == [1] * 5 + [0]


ONE_DEVICE = tf.distribute.OneDeviceStrategy('CPU:0')


def test_finetuning_counts_labelled_clips_alone_and_says_what_it_leaves_out(
    folder, finetune_config
):
    schedule = finetune_config.schedule.replace(batch_size=4, epochs=2)
    task = FinetuneTask(finetune_config.replace(schedule=schedule), load_dataset(folder))
    assert task.prepare(folder) == (
        '36 clips without a label left out of train, 11 clips without a label left out of eval'
    )
    trainer = Trainer(task, folder, ONE_DEVICE, RunSpec())
    assert (trainer.num_steps, trainer.num_eval_steps) == (6, 2)


def test_pretraining_takes_all_clips(folder, counted, pretrain_config):
    task = PretrainTask(pretrain_config, counted)
    assert not task.labelled and task.prepare(folder) == ''
    trainer = Trainer(task, folder, ONE_DEVICE, RunSpec())
    assert (trainer.num_steps, trainer.num_eval_steps) == (12, 2)


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (lambda split, i: {'label': []}, "split 'eval' holds no clip with a label"),
        (lambda split, i: {'label': [i % 6, 1, 2]}, 'clips with several labels (16 of them)'),
        (
            lambda split, i: {'label': [6]},
            'from 0 to 5, got [6]',
        ),
        (lambda split, i: {'label': [-1]}, "record 0 must have labels of 'label' from 0 to"),
    ],
)
def test_records_that_cannot_be_measured_are_refused(
    records, tmp_path, monkeypatch, finetune_config, labels, message
):
    media = load_dataset(records).media
    served = SimpleNamespace(heads={'label': CLASSES}, finetune=finetune_config, media=media)
    monkeypatch.setattr(analysis, 'latest_version', lambda path: path)
    monkeypatch.setattr(analysis, 'describe_served', lambda path: served)
    data = relabelled(records, tmp_path / 'data', labels, ('eval',))
    with pytest.raises(ValueError, match=re.escape(message)):
        analysis.analyse('model', data, 'eval', str(tmp_path / 'report'))
    assert not (tmp_path / 'report').exists()


SET = (
    *('--set', 'schedule.batch_size=8', '--set', 'schedule.epochs=1'),
    *('--set', 'schedule.warmup_epochs=0'),
)


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (
            lambda split, i: {'label': [0, 1] if i == 5 else [2]},
            'records have clips with several labels (2 of them), and a softmax has one right '
            'class; finetune with --set loss=sigmoid',
        ),
        (lambda split, i: {'label': [0] if split == 'train' else []}, "'eval' holds no clip with"),
        (lambda split, i: {'label': [0] if split == 'eval' else []}, "'train' holds no clip with"),
    ],
)
def test_finetuning_refuses_before_it_builds_a_model(records, tmp_path, labels, message):
    data = relabelled(records, tmp_path / 'data', labels)
    arguments = ['--data', data, '--workdir', str(tmp_path / 'run'), *SET]
    done = CliRunner().invoke(finetune, arguments)
    assert isinstance(done.exception, ValueError) and message in str(done.exception)
    assert not list(tmp_path.glob('run/checkpoints/*'))


def test_a_clip_needs_a_label_for_every_head_and_a_second_noun_is_several(records, tmp_path):
    heads = {'noun': CLASSES, 'verb': CLASSES}
    data = relabelled(
        records, tmp_path / 'data',
        lambda split, i: {'noun': [0, 1] if i == 1 else [0], 'verb': [0] if i < 4 else []},
        heads=heads,
    )  # fmt: skip
    counted = count_labels(data, load_dataset(data), SPLITS)
    assert counted.num_examples('train', labelled=True) == 4
    assert sum(shard.num_several for shard in counted.splits['train']) == 1


def test_an_unlabelled_clip_of_events_can_be_pretrained_on(records, tmp_path, pretrain_config):
    data = relabelled(
        records, tmp_path / 'data', lambda split, i: {'event': [1] * 10 if i == 0 else []},
        heads={'event': CLASSES},
    )  # fmt: skip
    counted = count_labels(data, load_dataset(data), SPLITS)
    assert counted.num_examples('train', labelled=True) == 1
    assert not any(shard.num_several for shard in counted.splits['train'])
    batch = next(iter(training_batches(data, counted, pretrain_config, batch_size=48)))
    assert batch['event'].numpy().sum() == 10


def test_a_damaged_shard_is_named_while_labels_are_counted(folder, tmp_path):
    dataset = load_dataset(folder)
    (tmp_path / 'Split-train').mkdir()
    save_dataset(str(tmp_path), dataset)
    assert (tmp_path / DATASET_FILE).exists()
    with pytest.raises(ValueError, match=r'Split-train/clips-\S+: no such shard'):
        count_labels(str(tmp_path), dataset, SPLITS)
