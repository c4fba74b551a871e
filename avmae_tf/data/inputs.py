"""Records to batches, in an order that is a function of the seed and the position alone.

Every epoch permutes the shards and deals them out to the workers. A worker reads its own shards
in groups; within a group records are interleaved and shuffled. The step that a checkpoint holds is
all the state there is: a run that resumes skips to its group by arithmetic and reads over the rest
of it, and the clips that it draws next are those it would have drawn. Every clip's window and
augmentation are drawn from the seed, the epoch and the clip's place in its shard.

Shapes: B clips of a batch, T frames, C classes.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from avmae_tf.config import TrainingConfig
from avmae_tf.config.heads import EVENT, EVENT_SECONDS
from avmae_tf.config.splits import EVAL, TRAIN
from avmae_tf.data import augment
from avmae_tf.data.dataset import Dataset, Shard, shard_records, without_autograph
from avmae_tf.data.labelled import only_labelled
from avmae_tf.data.records import parse_record
from avmae_tf.data.views import eval_views, training_view, training_window

SHARDS_IN_GROUP = 16
SHUFFLE_WINDOW = 256  # clips, cut to size; shards already hold them in random order
BATCHES_AHEAD = 2  # a batch of the paper is gigabytes


@dataclasses.dataclass(frozen=True)
class Worker:
    """Which share of the shards to read: `index` of `count`."""

    index: int = 0
    count: int = 1


def shard_order(epoch: tf.Tensor, slots: tf.Tensor, *, num_shards: int, seed: int) -> tf.Tensor:
    """Shards that `slots` of an epoch hold: a permutation of range(num_shards) for each epoch."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.index_shuffle(slots, key, num_shards - 1)


def shuffle(clips: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """`Dataset.shuffle` by `seed` [2] alone, where the method would mix in the global seed.

    `seed` must not be (0, 0), which stands for a random one.
    """
    specs = tf.nest.flatten(clips.element_spec)
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(clips),
        buffer_size=SHUFFLE_WINDOW,
        seed=seed[0],
        seed2=seed[1],
        reshuffle_each_iteration=False,
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
    )
    return tf.data.experimental.from_variant(shuffled, clips.element_spec)


def shuffled_clips(
    paths: list[str],
    counts: list[int],
    cut: Callable,
    *,
    seed: int,
    start: int,
    worker: Worker,
    keep: Callable | None = None,
    kept: list[int] | None = None,
) -> tf.data.Dataset:
    """Endless `cut(record, clip_seed)` of `worker`'s records, from its `start`-th on.

    What is cut out of a record waits in the window that is shuffled, so it should be small. A
    clip's seed [2] is a function of `seed`, the epoch and the clip's place in its shard. Where
    `keep(record)` leaves some out, `kept` counts those of each shard that stay.
    """
    num_shards, num_own = len(paths), len(range(worker.index, len(paths), worker.count))
    if not num_own:
        raise ValueError(
            f'{worker.count} workers need at least as many shards, got {num_shards}; '
            'convert with more shards (`avmae convert --shards`)'
        )
    seed_key, of_shards = tf.constant(seed, tf.int64), tf.constant(counts, tf.int64)
    fold_in = tf.random.experimental.stateless_fold_in
    groups_in_epoch = -(-num_own // SHARDS_IN_GROUP)

    def shards_of(group):
        first = group % groups_in_epoch * SHARDS_IN_GROUP
        slots = tf.range(first, tf.minimum(first + SHARDS_IN_GROUP, num_own))
        slots = slots * worker.count + worker.index
        return shard_order(group // groups_in_epoch, slots, num_shards=num_shards, seed=seed)

    def clips_of(group):
        def clips_in(shard):
            shard_seed = fold_in(tf.stack([seed_key, group // groups_in_epoch]), shard)
            path, count = tf.gather(tf.constant(paths), shard), tf.gather(of_shards, shard)
            records = shard_records(path, count)
            if keep:
                records = records.filter(lambda place, record: keep(record))
            return records.map(lambda place, record: cut(record, fold_in(shard_seed, place)))

        clips = tf.data.Dataset.from_tensor_slices(shards_of(group)).interleave(
            clips_in,
            cycle_length=SHARDS_IN_GROUP,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return shuffle(clips, tf.stack([seed_key, group + 1]))

    kept, group, skip = kept or counts, 0, start
    if worker.count == 1:
        group, skip = start // sum(kept) * groups_in_epoch, start % sum(kept)
    while skip >= (size := int(np.take(kept, shards_of(tf.constant(group, tf.int64))).sum())):
        group, skip = group + 1, skip - size
    return tf.data.Dataset.counter(tf.constant(group, tf.int64)).flat_map(clips_of).skip(skip)


def one_hot(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Label indices [k] to [C]: 1 for each of them; all 0 for an unlabelled clip."""
    return tf.minimum(tf.reduce_sum(tf.one_hot(labels, num_classes), axis=0), 1.0)


def targets(labels: dict[str, tf.Tensor], dataset: Dataset) -> dict[str, tf.Tensor]:
    """Labels of a clip to targets by head: [C], of EVENT [seconds, C]."""
    by_head = {}
    for head, classes in dataset.heads.items():
        if head == EVENT:
            missing = EVENT_SECONDS * tf.cast(tf.size(labels[head]) == 0, tf.int32)
            none = tf.fill([missing], tf.constant(-1, tf.int64))  # an unlabelled clip: all 0
            by_second = tf.ensure_shape(tf.concat([labels[head], none], 0), [EVENT_SECONDS])
            by_head[head] = tf.one_hot(by_second, len(classes))
        else:
            by_head[head] = one_hot(labels[head], len(classes))
    return by_head


def _keep(dataset: Dataset, shards: Iterable[Shard], labelled: bool) -> Callable | None:
    """A predicate that leaves out records without a label; None where all have one."""
    if labelled and any(shard.num_labelled != shard.num_examples for shard in shards):
        return only_labelled(dataset.heads)
    return None


@without_autograph
def training_batches(
    folder: str,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    batch_size: int,
    start: int = 0,
    worker: Worker = Worker(),
    labelled: bool = False,
) -> tf.data.Dataset:
    """Endless batches of the split 'train': inputs by modality, targets by head.

    Frames are uint8. Targets are 'label', 'noun', 'verb' [B, C] or
    'event' [B, seconds, C], float32: those of the dataset's heads.

    `start` counts this worker's clips that earlier runs have already seen. `labelled` leaves out
    clips without a label, which nothing counts then.
    """
    shards, config = dataset.shards(TRAIN, labelled=labelled), config.on(dataset.media)

    def cut(record, seed):
        clip = parse_record(record, dataset.heads)
        by_window, by_view = augment.split(seed, 2)
        window = training_window(clip, config, by_window)
        return window, targets(clip['labels'], dataset), by_view

    def prepare(window, targets_, seed):
        return {**training_view(window, config, seed), **targets_}

    clips = shuffled_clips(
        [os.path.join(folder, s.path) for s in shards],
        [s.num_examples for s in shards],
        cut,
        seed=config.seed,
        start=start,
        worker=worker,
        keep=_keep(dataset, shards, labelled),
        kept=[s.count(labelled) for s in shards],
    )
    batches = clips.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.batch(batch_size, drop_remainder=True).prefetch(BATCHES_AHEAD)


@without_autograph
def eval_clips(
    folder: str,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    num_views: int,
    num_crops: int = 1,
    split: str = EVAL,
    labelled: bool = False,
) -> tf.data.Dataset:
    """Every clip of `split` once, in the order of the shards, with a leading axis of views.

    Frames are uint8. All have the 'weight' 1, and a 'place', the number of their record among those
    of the shards. `labelled` leaves out clips without a label.
    """
    shards = dataset.shards(split, labelled=labelled)
    paths = [os.path.join(folder, s.path) for s in shards]
    counts = tf.constant([s.num_examples for s in shards], tf.int64)
    config = config.on(dataset.media)
    records = tf.data.Dataset.from_tensor_slices((paths, counts)).flat_map(shard_records)
    records = records.map(lambda _, record: record).enumerate()
    if keep := _keep(dataset, shards, labelled):
        records = records.filter(lambda _, record: keep(record))

    def prepare(place, serialized):
        clip = parse_record(serialized, dataset.heads)
        views = eval_views(clip, config, num_views, num_crops)
        by_head = targets(clip['labels'], dataset)
        return {**views, **by_head, 'weight': 1.0, 'place': tf.cast(place, tf.int32)}

    return records.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def eval_batches(
    folder: str,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    batch_size: int,
    num_views: int,
    num_crops: int = 1,
    split: str = EVAL,
    labelled: bool = False,
) -> tf.data.Dataset:
    """`filled_batches` of `eval_clips`."""
    views = {'num_views': num_views, 'num_crops': num_crops}
    clips = eval_clips(folder, dataset, config, **views, split=split, labelled=labelled)
    return filled_batches(clips, dataset.num_examples(split, labelled=labelled), batch_size)


@without_autograph
def filled_batches(clips: tf.data.Dataset, num_clips: int, batch_size: int) -> tf.data.Dataset:
    """Batches of `eval_clips`, the last one filled up with clips of 'weight' 0."""
    missing = -num_clips % batch_size
    filler = clips.take(1).map(lambda clip: {**clip, 'weight': 0.0}).repeat(missing)
    batches = clips.concatenate(filler).batch(batch_size, drop_remainder=True)
    return batches.prefetch(BATCHES_AHEAD)
