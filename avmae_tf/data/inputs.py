"""Records to batches: inputs by modality, targets by head.

Every clip's window and augmentation are drawn from the seed, the epoch and the clip's place in its
shard. `avmae_tf.data.order` says which clips a batch has, and which of them a worker prepares.

Shapes: B clips of a batch, T frames, C classes.
"""

import functools
import os
from collections.abc import Callable, Iterable

import tensorflow as tf

from avmae_tf.config import TrainingConfig
from avmae_tf.config.heads import EVENT, EVENT_SECONDS
from avmae_tf.config.splits import EVAL, TRAIN
from avmae_tf.data import augment
from avmae_tf.data.dataset import Dataset, Shard, shard_records, without_autograph
from avmae_tf.data.labelled import only_labelled
from avmae_tf.data.order import WHOLE, Part, only_rows, rows_of_streams, shuffled_clips
from avmae_tf.data.records import parse_record
from avmae_tf.data.views import eval_views, training_view, training_window

BATCHES_AHEAD = 2  # a batch of the paper is gigabytes


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
    worker: Part = WHOLE,
    replicas: int = 1,
    labelled: bool = False,
) -> tf.data.Dataset:
    """Endless batches of the split 'train': inputs by modality, targets by head.

    Frames are uint8. Targets are 'label', 'noun', 'verb' [B, C] or
    'event' [B, seconds, C], float32: those of the dataset's heads.

    `start` counts the clips that all workers have already seen: whole batches. `worker` is which
    rows of them are wanted, which come as a batch for each of its `replicas`. `labelled` leaves out
    clips without a label, which nothing counts then.

    Raises:
        ValueError: streams do not divide the batch, or there are more than shards.
    """
    shards, config = dataset.shards(TRAIN, labelled=labelled), config.on(dataset.media)
    if batch_size % config.streams:
        raise ValueError(
            f'batch_size must be a multiple of streams, got {batch_size} and {config.streams}'
        )

    def cut(record, seed):
        clip = parse_record(record, dataset.heads)
        by_window, by_view = augment.split(seed, 2)
        window = training_window(clip, config, by_window)
        return window, targets(clip['labels'], dataset), by_view

    def prepare(window, targets_, seed):
        return {**training_view(window, config, seed), **targets_}

    def clips_of(stream):
        return shuffled_clips(
            [os.path.join(folder, s.path) for s in shards],
            [s.num_examples for s in shards],
            cut,
            seed=config.seed,
            start=start // config.streams,
            stream=Part(stream, config.streams),
            keep=_keep(dataset, shards, labelled),
            kept=[s.count(labelled) for s in shards],
        )

    rows = worker.of(batch_size)
    streams = [functools.partial(clips_of, i) for i in range(config.streams)]
    clips = rows_of_streams(rows, batch_size, streams)
    batches = clips.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.batch(len(rows) // replicas, drop_remainder=True).prefetch(BATCHES_AHEAD)


@without_autograph
def eval_batches(
    folder: str,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    batch_size: int,
    num_views: int,
    num_crops: int = 1,
    split: str = EVAL,
    worker: Part = WHOLE,
    replicas: int = 1,
    labelled: bool = False,
    first: int | None = None,
) -> tf.data.Dataset:
    """Every clip of `split` once, in the order of the shards, with a leading axis of views.

    Frames are uint8. All have the 'weight' 1, and a 'place', the number of their record among those
    of the shards; the last batch is filled up with clips of 'weight' 0. `first` leaves out others.
    `worker`, `replicas` and `labelled` are those of `training_batches`.
    """
    shards = dataset.shards(split, labelled=labelled)
    paths = [os.path.join(folder, s.path) for s in shards]
    counts = tf.constant([s.num_examples for s in shards], tf.int64)
    config = config.on(dataset.media)
    records = tf.data.Dataset.from_tensor_slices((paths, counts)).flat_map(shard_records)
    records = records.map(lambda _, record: record).enumerate()
    if keep := _keep(dataset, shards, labelled):
        records = records.filter(lambda _, record: keep(record))
    num_clips = dataset.num_examples(split, labelled=labelled)
    if first is not None:
        records, num_clips = records.take(first), min(first, num_clips)
    records = records.map(lambda place, record: (place, record, 1.0))
    filler = records.take(1).map(lambda place, record, _: (place, record, 0.0))
    filler = filler.repeat(-num_clips % batch_size)

    def prepare(place, serialized, weight):
        clip = parse_record(serialized, dataset.heads)
        views = eval_views(clip, config, num_views, num_crops)
        marks = {'weight': weight, 'place': tf.cast(place, tf.int32)}
        return {**views, **targets(clip['labels'], dataset), **marks}

    rows = worker.of(batch_size)
    clips = only_rows(rows, records.concatenate(filler), batch_size)
    clips = clips.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return clips.batch(len(rows) // replicas, drop_remainder=True).prefetch(BATCHES_AHEAD)
