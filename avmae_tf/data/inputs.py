"""Records to batches, in an order that is a function of the seed and the position alone.

Every epoch permutes the shards. A worker reads its own shards in groups; within a group records
are interleaved and shuffled. A run that resumes at step s skips to its group by arithmetic and
reads over the rest of it, so no state is saved and no clip is seen twice.

Shapes: B clips of a batch, T frames, C classes.
"""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from avmae_tf.config import AUDIO, SAMPLE_RATE_HZ, VIDEO, TrainingConfig
from avmae_tf.data.audio import log_mel, take_samples
from avmae_tf.data.examples import parse_example
from avmae_tf.data.records import Dataset
from avmae_tf.data.video import blank_frames, decode_frames, frame_indices, window_seconds

SHARDS_IN_GROUP = 16
SHUFFLE_WINDOW = 512  # records held in memory; shards already hold clips in random order


@dataclasses.dataclass(frozen=True)
class Worker:
    """Which share of the shards to read: `index` of `count`."""

    index: int = 0
    count: int = 1


def durations(clip: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds of stored video and of stored audio, float32 scalars; 0 where there is none."""
    video = tf.cast(tf.size(clip['frames']), tf.float32) / clip['frames_per_second']
    audio = tf.cast(tf.size(clip['waveform']), tf.float32) / SAMPLE_RATE_HZ
    return video, audio


def training_starts(clip, config: TrainingConfig, fraction) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds at which video and audio start: the audio at the same proportion of the clip.

    `fraction` in [0, 1] places the video window among those that fit; the audio goes round at
    the end of the clip.
    """
    video, audio = durations(clip)
    if VIDEO not in config.modalities:
        return tf.constant(0.0), fraction * tf.maximum(audio - config.audio.seconds, 0.0)
    start = fraction * tf.maximum(video - window_seconds(config.video), 0.0)
    return start, tf.math.divide_no_nan(start, video) * audio


def testing_starts(clip, config: TrainingConfig, fraction) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds at which video and audio start, each among the windows that fit."""
    video, audio = durations(clip)
    return (
        fraction * tf.maximum(video - window_seconds(config.video), 0.0),
        fraction * tf.maximum(audio - config.audio.seconds, 0.0),
    )


def view(clip, config: TrainingConfig, starts, corner) -> dict[str, tf.Tensor]:
    """One view of a parsed clip: {video: [T, H, W, 3], audio: [frames, 128, 1]}.

    `starts` are seconds in video and audio, `corner` in [0, 1]^2 places the crop. The same
    function serves training, evaluation and the served graph.
    """
    inputs = {}
    if VIDEO in config.modalities:
        num_stored, rate = tf.size(clip['frames']), clip['frames_per_second']

        def decode():
            chosen = frame_indices(starts[0], num_stored, rate, config.video)
            return decode_frames(tf.gather(clip['frames'], chosen), config.video, corner)

        inputs[VIDEO] = tf.cond(num_stored > 0, decode, lambda: blank_frames(config.video))
    if AUDIO in config.modalities:
        begin = tf.cast(tf.round(starts[1] * SAMPLE_RATE_HZ), tf.int32)
        samples = take_samples(clip['waveform'], begin, config.audio.num_samples)
        inputs[AUDIO] = log_mel(samples, config.audio)
    return inputs


def testing_views(clip, config: TrainingConfig, num_views: int) -> dict[str, tf.Tensor]:
    """`num_views` evenly spaced centre crops, each input with a leading axis of views."""
    views = [
        view(clip, config, testing_starts(clip, config, fraction), tf.constant([0.5, 0.5]))
        for fraction in (np.linspace(0.0, 1.0, num_views) if num_views > 1 else [0.5])
    ]
    return tf.nest.map_structure(lambda *x: tf.stack(x), *views)


def training_view(clip, config: TrainingConfig, seed) -> dict[str, tf.Tensor]:
    """A random window and crop, and where the recipe says so a random flip; `seed` is [2]."""
    start, x, y, flip = tf.unstack(tf.random.stateless_uniform([4], seed))
    corner = tf.stack([y, x]) if config.random_crop else tf.constant([0.5, 0.5])
    inputs = view(clip, config, training_starts(clip, config, start), corner)
    if VIDEO in inputs and config.random_flip:
        frames = inputs[VIDEO]
        inputs[VIDEO] = tf.cond(flip < 0.5, lambda: tf.reverse(frames, [2]), lambda: frames)
    return inputs


def shard_order(epoch, slots, *, num_shards: int, seed: int) -> tf.Tensor:
    """Shards that `slots` of an epoch hold: a permutation of range(num_shards) for each epoch."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.index_shuffle(slots, key, num_shards - 1)


def shuffled_records(
    paths: list[str], counts: list[int], *, seed: int, start: int, worker: Worker
) -> tf.data.Dataset:
    """Endless (position, serialized record) of `worker`, from its `start`-th record on."""
    num_shards, num_own = len(paths), len(range(worker.index, len(paths), worker.count))
    if not num_own:
        raise ValueError(
            f'{worker.count} workers need at least as many shards, got {num_shards}; '
            'convert with more shards (`avmae convert --shards`)'
        )
    seed_key = tf.constant(seed, tf.int64)
    groups_in_epoch = -(-num_own // SHARDS_IN_GROUP)

    def shards_of(group):
        first = group % groups_in_epoch * SHARDS_IN_GROUP
        slots = tf.range(first, tf.minimum(first + SHARDS_IN_GROUP, num_own))
        slots = slots * worker.count + worker.index
        return shard_order(group // groups_in_epoch, slots, num_shards=num_shards, seed=seed)

    def shuffle(window, group, index):
        key = tf.random.experimental.stateless_fold_in(tf.stack([seed_key, group]), index)
        return tf.random.experimental.stateless_shuffle(window, key)

    def records_of(group):
        files = tf.data.Dataset.from_tensor_slices(tf.gather(tf.constant(paths), shards_of(group)))
        records = files.interleave(
            tf.data.TFRecordDataset,
            cycle_length=SHARDS_IN_GROUP,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        windows = records.batch(SHUFFLE_WINDOW).enumerate()
        return windows.map(lambda i, window: shuffle(window, group, i)).unbatch()

    group, skip = 0, start
    if worker.count == 1:
        group, skip = start // sum(counts) * groups_in_epoch, start % sum(counts)
    while skip >= (size := int(np.take(counts, shards_of(tf.constant(group, tf.int64))).sum())):
        group, skip = group + 1, skip - size
    groups = tf.data.Dataset.counter(tf.constant(group, tf.int64))
    return groups.flat_map(records_of).skip(skip).enumerate(start)


def one_hot(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Label indices [k] to [C]: 1 for each of them; all 0 for an unlabelled clip."""
    return tf.reduce_sum(tf.one_hot(labels, num_classes), axis=0)


def training_batches(
    folder: str,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    batch_size: int,
    start: int = 0,
    worker: Worker = Worker(),
) -> tf.data.Dataset:
    """Endless batches of the split 'train': inputs by modality and 'label' [B, C].

    `start` counts this worker's clips that earlier runs have already seen.
    """
    shards = dataset.shards('train')

    def prepare(position, serialized):
        clip = parse_example(serialized)
        stream = tf.stack([tf.constant(config.seed, tf.int64), tf.cast(worker.index, tf.int64)])
        seed = tf.random.experimental.stateless_fold_in(stream, position)
        label = one_hot(clip['labels'], len(dataset.classes))
        return {**training_view(clip, config, seed), 'label': label}

    records = shuffled_records(
        [os.path.join(folder, s.path) for s in shards],
        [s.num_examples for s in shards],
        seed=config.seed,
        start=start,
        worker=worker,
    )
    batches = records.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def testing_batches(
    folder: str,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    batch_size: int,
    num_views: int,
    split: str = 'eval',
) -> tf.data.Dataset:
    """Every clip of `split` once, in the order of the shards, with a leading axis of views.

    The last batch is filled up with clips of 'weight' 0; all others have the weight 1.
    """
    paths = [os.path.join(folder, s.path) for s in dataset.shards(split)]

    def prepare(serialized):
        clip = parse_example(serialized)
        label = one_hot(clip['labels'], len(dataset.classes))
        return {**testing_views(clip, config, num_views), 'label': label, 'weight': 1.0}

    clips = tf.data.TFRecordDataset(paths).map(
        prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    missing = -dataset.num_examples(split) % batch_size
    filler = clips.take(1).map(lambda clip: {**clip, 'weight': 0.0}).repeat(missing)
    batches = clips.concatenate(filler).batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)
