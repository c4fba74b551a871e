"""Which clip comes when: a function of the seed and the position alone.

Every epoch permutes the shards and deals them out to the streams, of which there is one unless
`TrainingConfig.streams` says otherwise. A stream reads its own shards in groups; within a group
records are interleaved and shuffled. A batch takes as many clips of each stream, one stream after
another. The step that a checkpoint holds is all the state there is: a run that resumes skips to its
group by arithmetic and reads over the rest of it, and the clips that it draws next are those it
would have drawn.

A batch is the same whoever computes it: of several workers each prepares its own rows of it. A
worker reads the streams that these rows are of, and decodes nothing of other rows. So workers
share the decoding always, and the reading where there are as many streams as workers.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from avmae_tf.data.dataset import shard_records

SHARDS_IN_GROUP = 16
SHUFFLE_WINDOW = 256  # clips, cut to size; shards already hold them in random order


@dataclasses.dataclass(frozen=True)
class Part:
    """The `index`-th of `count` equal parts: of a batch, or of the shards."""

    index: int = 0
    count: int = 1

    def of(self, number: int) -> range:
        """Which of `number` rows are in it: neighbours."""
        size = number // self.count
        return range(self.index * size, (self.index + 1) * size)


WHOLE = Part()


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
    stream: Part = WHOLE,
    keep: Callable | None = None,
    kept: list[int] | None = None,
) -> tf.data.Dataset:
    """Endless `cut(record, clip_seed)` of a `stream`'s records, from its `start`-th on.

    What is cut out of a record waits in the window that is shuffled, so it should be small. A
    clip's seed [2] is a function of `seed`, the epoch and the clip's place in its shard. Where
    `keep(record)` leaves some out, `kept` counts those of each shard that stay.
    """
    num_shards, num_own = len(paths), len(range(stream.index, len(paths), stream.count))
    if stream.count > num_shards:
        raise ValueError(
            f'streams must be at most the number of shards, {num_shards}, got {stream.count}; '
            'convert with more shards (`avmae convert --shards`)'
        )
    seed_key, of_shards = tf.constant(seed, tf.int64), tf.constant(counts, tf.int64)
    fold_in = tf.random.experimental.stateless_fold_in
    groups_in_epoch = -(-num_own // SHARDS_IN_GROUP)

    def shards_of(group):
        first = group % groups_in_epoch * SHARDS_IN_GROUP
        slots = tf.range(first, tf.minimum(first + SHARDS_IN_GROUP, num_own))
        slots = slots * stream.count + stream.index
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
    if stream.count == 1:
        group, skip = start // sum(kept) * groups_in_epoch, start % sum(kept)
    while skip >= (size := int(np.take(kept, shards_of(tf.constant(group, tf.int64))).sum())):
        group, skip = group + 1, skip - size
    return tf.data.Dataset.counter(tf.constant(group, tf.int64)).flat_map(clips_of).skip(skip)


def only_rows(rows: range, clips: tf.data.Dataset, number: int) -> tf.data.Dataset:
    """Of every `number` elements those in `rows`."""
    if len(rows) == number:
        return clips
    wanted = clips.enumerate().filter(
        lambda i, _: (i % number >= rows.start) & (i % number < rows.stop)
    )
    return wanted.map(lambda _, clip: clip)


def rows_of_streams(
    rows: range, batch_size: int, streams: Sequence[Callable[[], tf.data.Dataset]]
) -> tf.data.Dataset:
    """`rows` of every batch of `batch_size`, of which each stream fills an equal part in a row.

    Streams that these rows are not of are not made.
    """
    number, chosen, sizes = batch_size // len(streams), [], []
    for i, stream in enumerate(streams):
        own = range(max(rows.start - i * number, 0), min(rows.stop - i * number, number))
        if own:
            chosen.append(only_rows(own, stream(), number))
            sizes.append(len(own))
    if len(chosen) == 1:
        return chosen[0]
    turns = np.repeat(np.arange(len(chosen), dtype=np.int64), sizes)
    turns = tf.data.Dataset.from_tensor_slices(turns).repeat()
    return tf.data.Dataset.choose_from_datasets(chosen, turns)
