"""The order of clips is a function of seed and position: complete, shuffled, resumable."""

import os

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.data.dataset import records_at
from avmae_tf.data.inputs import eval_batches, training_batches
from avmae_tf.data.order import WHOLE, Part, rows_of_streams, shuffled_clips
from avmae_tf.data.order import shard_order as order
from avmae_tf.data.records import parse_record


@pytest.fixture(scope='module')
def numbered(tmp_path_factory):
    """Paths and counts of five shards; the records are the numbers 0 to 29."""
    folder = tmp_path_factory.mktemp('numbered')
    counts, paths, number = [3, 7, 5, 9, 6], [], 0
    for i, count in enumerate(counts):
        paths.append(str(folder / f'shard-{i}'))
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for _ in range(count):
                writer.write(str(number).encode())
                number += 1
    return paths, counts


def take(numbered, count, **changes):
    settings = {'seed': 0, 'start': 0, **changes}
    clips = shuffled_clips(*numbered, lambda record, seed: (record, seed), **settings).take(count)
    return [(int(record.numpy()), tuple(seed.numpy())) for record, seed in clips]


def test_an_epoch_holds_every_clip_once(numbered):
    got = [record for record, _ in take(numbered, 90)]
    for epoch in range(3):
        assert sorted(got[30 * epoch : 30 * epoch + 30]) == list(range(30))
    assert got[:30] != got[30:60] != sorted(got[30:60])


@pytest.mark.parametrize('start', [0, 1, 29, 30, 31, 77])
def test_a_resumed_run_sees_what_it_has_not_seen(numbered, start):
    assert take(numbered, 20, start=start) == take(numbered, start + 20)[start:]


def test_every_clip_of_every_epoch_has_a_seed_of_its_own(numbered):
    assert len({seed for _, seed in take(numbered, 90)}) == 90


def test_another_seed_is_another_order(numbered):
    assert take(numbered, 30, seed=1) != take(numbered, 30)


def test_the_order_does_not_depend_on_the_global_seed(numbered):
    expected = take(numbered, 30)
    tf.random.set_seed(5)
    assert take(numbered, 30) == expected


def test_streams_share_an_epoch(numbered):
    counts, seen = [], []
    for index in range(2):
        stream = Part(index, 2)
        shards = order(0, tf.range(index, 5, 2, tf.int64), num_shards=5, seed=0).numpy()
        counts.append(int(np.take(numbered[1], shards).sum()))
        seen += take(numbered, counts[-1], stream=stream)
        assert take(numbered, 9, start=40, stream=stream) == take(numbered, 49, stream=stream)[40:]
    assert sorted(seen) == sorted(take(numbered, 30))  # and each clip by the seed it has alone


def test_more_streams_than_shards_is_an_error(numbered):
    with pytest.raises(ValueError, match='at most the number of shards, 5, got 6'):
        take(numbered, 1, stream=Part(0, 6))


@pytest.mark.parametrize('count', [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize('streams', [1, 2, 3])
def test_workers_divide_batches_into_rows_however_many_streams_there_are(count, streams):
    """Clip i of stream s is 100 s + i; a batch has 12, as many of each stream."""
    size, made = 12 // streams, []

    def stream(number):
        def make():
            made.append(number)
            return tf.data.Dataset.range(100 * number, 100 * number + 3 * size)

        return make

    rows = []
    for index in range(count):
        part = Part(index, count).of(12)
        before = len(made)
        clips = rows_of_streams(part, 12, [stream(i) for i in range(streams)])
        rows.append(np.reshape(list(clips.as_numpy_iterator()), [3, len(part)]))
        needed = {row // size for row in part}
        assert sorted(made[before:]) == sorted(needed)  # and reads no other
    expected = [
        [100 * s + size * b + i for s in range(streams) for i in range(size)] for b in range(3)
    ]
    assert np.concatenate(rows, axis=1).tolist() == expected


def test_batches_have_the_shapes_and_ranges_of_the_model(records, dataset, pretrain_config):
    batches = training_batches(records, dataset, pretrain_config, batch_size=8)
    assert batches.element_spec['video'].shape == (8, 4, 32, 32, 3)
    assert batches.element_spec['audio'].shape == (8, 96, 128, 1)
    batch = next(iter(batches))
    assert batch['video'].dtype == tf.uint8
    assert batch['label'].numpy().sum(axis=1).tolist() == [1] * 8


def test_resumed_batches_are_the_same_batches(records, dataset, pretrain_config):
    config = pretrain_config.replace(
        augment={'random_flip': True, 'colour': {}, 'time_shift': True}
    )
    whole = list(training_batches(records, dataset, config, batch_size=8).take(4))
    resumed = list(training_batches(records, dataset, config, batch_size=8, start=24).take(1))
    for name in whole[3]:
        np.testing.assert_array_equal(whole[3][name], resumed[0][name])


def gathered(batches_of, *, count, replicas):
    """Batches as all workers together have them, from what `batches_of(worker)` gives each."""
    of_workers = [batches_of(Part(i, count), replicas) for i in range(count)]
    whole = []
    for parts in zip(*(x.batch(replicas) for x in of_workers), strict=True):
        whole.append({k: np.concatenate([np.concatenate(p[k]) for p in parts]) for k in parts[0]})
    return whole


AUGMENT = {
    'random_crop': True,
    'spec_augment': {
        'frequency_masks': 1, 'frequency_width': 36, 'time_masks': 1, 'time_width': 24
    },
}  # fmt: skip


@pytest.mark.parametrize(('count', 'replicas'), [(2, 1), (2, 2), (4, 1)])
@pytest.mark.parametrize('streams', [1, 2])
def test_a_batch_is_the_same_whoever_computes_it_and_wherever_it_resumes(
    records, dataset, pretrain_config, count, replicas, streams
):
    config = pretrain_config.replace(augment=AUGMENT, streams=streams)

    def batches(worker=WHOLE, replicas=1, start=0):
        return training_batches(
            records, dataset, config,
            batch_size=8, start=start, worker=worker, replicas=replicas,
        ).take((8 - start // 8) * replicas)  # fmt: skip

    alone = list(batches().as_numpy_iterator())
    together = gathered(batches, count=count, replicas=replicas)
    for a, b in zip(alone, together, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    (resumed,) = batches(start=40).take(1).as_numpy_iterator()
    np.testing.assert_array_equal(resumed['audio'], alone[5]['audio'])


def test_streams_that_do_not_divide_a_batch_are_refused(records, dataset, pretrain_config):
    config = pretrain_config.replace(streams=3)
    with pytest.raises(ValueError, match='a multiple of streams, got 8 and 3'):
        training_batches(records, dataset, config, batch_size=8)


@pytest.mark.parametrize(('count', 'replicas'), [(2, 1), (3, 2)])
def test_workers_together_test_on_every_clip_once(
    records, dataset, finetune_config, count, replicas
):
    def batches(worker=WHOLE, replicas=1):
        return eval_batches(
            records, dataset, finetune_config,
            batch_size=6, num_views=1, worker=worker, replicas=replicas,
        )  # fmt: skip

    alone = list(batches().as_numpy_iterator())
    together = gathered(batches, count=count, replicas=replicas)
    for a, b in zip(alone, together, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert sum(batch['weight'].sum() for batch in together) == 16


def test_testing_sees_every_clip_once_and_fills_the_last_batch(records, dataset, finetune_config):
    batches = list(eval_batches(records, dataset, finetune_config, batch_size=6, num_views=2))
    assert [batch['video'].shape for batch in batches] == [(6, 2, 4, 32, 32, 3)] * 3
    assert batches[0]['video'].dtype == tf.uint8  # a quarter of the bytes for the device
    weights = np.concatenate([batch['weight'] for batch in batches])
    labels = np.concatenate([batch['label'] for batch in batches])
    assert weights.tolist() == [1.0] * 16 + [0.0] * 2
    assert labels[weights > 0].sum(axis=0).tolist() == [1.0] * 16


def test_a_clip_that_is_tested_on_tells_its_place_among_the_records(
    records, dataset, finetune_config
):
    def key(record):
        return parse_record(tf.constant(record))['key'].numpy()

    paths = {os.path.join(records, s.path): s.num_examples for s in dataset.shards('train')}
    every = [r for path in paths for r in tf.data.TFRecordDataset(path).as_numpy_iterator()]
    assert len(paths) > 1 and len(every) == 48
    places = [47, 0, *np.cumsum([*paths.values()])[:-1], 3]  # also the first of every shard
    found = records_at(paths, places)
    assert [key(record) for record in found] == [key(every[place]) for place in places]

    clips = eval_batches(
        records, dataset, finetune_config, batch_size=8, num_views=1, split='train'
    ).unbatch()
    for clip in clips.skip(20).take(5):
        record = parse_record(tf.constant(every[int(clip['place'])]), dataset.heads)
        assert clip['label'].numpy().argmax() == record['labels']['label'].numpy()[0]
    assert [int(clip['place']) for clip in clips] == [*range(48)]
