"""A folder of records: shards of TFRecord files beside `dataset.json`, which describes them.

dataset.json                          classes by head, media settings, shards and their counts
Split-train/clips-00000-of-00004      TFRecord, uncompressed (TFX's layout of a split)
Split-eval/...

A shard is held to what `dataset.json` promises of it: by its size before the work starts, and where
it is read by the checksum of each record, of which none may be missing.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pydantic
import tensorflow as tf

from avmae_tf.config import MediaSpec, Spec
from avmae_tf.config.descriptions import Description
from avmae_tf.config.heads import HEADS, LABEL, Classes
from avmae_tf.config.migrations import DATASET_FILE
from avmae_tf.storage import exists, gfile, read_settings, write_text

CONVERT = 'run `avmae convert` again, with the same settings'
REMEDY = f'delete it and {CONVERT}'
DAMAGED = 'damaged shard'  # marks the error of a graph that `damage_named` puts into words
STAT_THREADS = 32  # in a bucket each takes a round trip


class Shard(Spec):
    """One TFRecord file, by its path below the folder."""

    path: str
    num_examples: int
    num_bytes: int | None = None  # None here and below: older descriptions do not say
    num_labelled: int | None = None  # clips with a label for every head
    num_several: int | None = None  # clips with several labels for a head that has not EVENTs

    def count(self, labelled: bool = False) -> int:
        """How many clips it holds, or how many that are labelled."""
        count = self.num_labelled if labelled else self.num_examples
        assert count is not None, 'labels must be counted first: avmae_tf.data.labelled'
        return count


class Dataset(Description):
    """What a folder of records holds."""

    FILE: ClassVar[str] = DATASET_FILE
    media: MediaSpec
    heads: Classes = pydantic.Field(default_factory=dict)  # by head, in the order of HEADS
    splits: dict[str, tuple[Shard, ...]]
    fingerprint: str  # of what the records hold and how they are divided

    @pydantic.field_validator('heads')
    @classmethod
    def _known(cls, heads):
        if unknown := set(heads) - set(HEADS):
            raise ValueError(f'heads must be of {HEADS}, got {sorted(unknown)}')
        return {head: heads[head] for head in HEADS if head in heads}

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the head 'label'; none where clips are unlabelled or have other heads."""
        return self.heads.get(LABEL, ())

    def num_examples(self, split: str, *, labelled: bool = False) -> int:
        """How many clips `split` holds, or how many that are labelled."""
        return sum(shard.count(labelled) for shard in self.shards(split, labelled=labelled))

    def shards(self, split: str, *, labelled: bool = False) -> tuple[Shard, ...]:
        """The shards of `split` that hold anything, or anything labelled; none is an error."""
        shards = tuple(s for s in self.splits.get(split, ()) if s.num_examples)
        if not shards:
            raise ValueError(
                f'split {split!r} holds no examples; splits with examples: '
                f'{sorted(k for k, v in self.splits.items() if any(s.num_examples for s in v))}'
            )
        wanted = tuple(shard for shard in shards if shard.count(labelled))
        if not wanted:
            raise ValueError(
                f'split {split!r} holds no clip with a label; give `avmae convert` annotations '
                'that label some of it'
            )
        return wanted


def load_dataset(folder: str) -> Dataset:
    """Reads `dataset.json`; raises ValueError that names the file or folder, and the fix."""
    path = os.path.join(folder, DATASET_FILE)
    if not exists(path):
        raise ValueError(f'{folder}: no {DATASET_FILE} here; make records with `avmae convert`')
    return read_settings(path, Dataset, 'make the records again with `avmae convert`')


def save_dataset(folder: str, dataset: Dataset) -> None:
    """Writes `dataset.json`."""
    write_text(os.path.join(folder, DATASET_FILE), dataset.to_json())


def check_sizes(folder: str, dataset: Dataset, splits: Iterable[str]) -> None:
    """Raises ValueError, by name, if shards of `splits` are missing or of another size.

    Older descriptions have no sizes; their shards must be there and hold something.
    """
    shards = [shard for split in splits for shard in dataset.shards(split)]
    with ThreadPoolExecutor(STAT_THREADS) as pool:
        found = pool.map(lambda shard: _damage(os.path.join(folder, shard.path), shard), shards)
        damaged = [text for text in found if text]
    if damaged:
        more = f' ({len(damaged) - 1} more shards are damaged)' if len(damaged) > 1 else ''
        raise ValueError(f'{damaged[0]}{more}')


def _damage(path: str, shard: Shard) -> str | None:
    try:
        length = gfile(path).stat(path).length
    except tf.errors.OpError as error:
        missing = isinstance(error, tf.errors.NotFoundError)
        return f'{path}: ' + (f'no such shard; {CONVERT}' if missing else error.message)
    if length == 0 or shard.num_bytes not in (None, length):
        wanted = f'{shard.num_bytes or "some"} ({DATASET_FILE})'
        return f'{path}: has {length} bytes, must have {wanted}; {REMEDY}'
    return None


# For what does not branch on tensors: to find that out takes most of a minute.
without_autograph = tf.autograph.experimental.do_not_convert


@without_autograph
def shard_records(path: str | tf.Tensor, count: int | tf.Tensor) -> tf.data.Dataset:
    """(place, serialized record) of the `count` records of a shard, in order.

    A record that cannot be read, or is missing at the end, raises an error from which
    `damage_named` makes one that names the shard; TensorFlow's own does not. Nothing is looked at
    record by record here, which would cost training a tenth of its time for input: a shard with
    more records than it should have is found by its size alone.
    """
    # `ignore_errors` would open a missing file again for ever: here it is an error first.
    opened = tf.data.FixedLengthRecordDataset(path, record_bytes=1).take(1)
    records = tf.data.TFRecordDataset(path).ignore_errors()

    def lost(path):
        place = records.reduce(tf.constant(0, tf.int64), lambda place, _: place + 1)
        data = [DAMAGED, path, place, count]
        failed = tf.raw_ops.Assert(condition=False, data=data, summarize=1)
        with tf.control_dependencies([failed]):
            return tf.identity(path)

    rest = records.concatenate(tf.data.Dataset.from_tensors(path).map(lost)).take(count)
    return opened.skip(1).concatenate(rest).enumerate()  # a filter: a function to set up for each


def records_at(shards: Mapping[str, int], places: Iterable[int]) -> list[bytes]:
    """Records by their places among all of `shards`: paths, with the number of records of each."""
    ends, found = np.cumsum([*shards.values()]), []
    for place in places:
        shard = int(np.searchsorted(ends, place, side='right'))
        path, count = [*shards.items()][shard]
        records = shard_records(path, count).skip(place - int(ends[shard]) + count).take(1)
        found += [record for _, record in records.as_numpy_iterator()]
    return found


@contextlib.contextmanager
def damage_named() -> Iterator[None]:
    """Raises ValueError, in one line, for the errors of `shard_records` inside of the block."""
    try:
        yield
    except tf.errors.OpError as error:
        if match := re.search(rf'\[{DAMAGED}\] \[(.*)\] \[(\d+)\] \[(\d+)\]', error.message):
            path, place, count = match.groups()
            path = re.sub(r'\\(.)', r'\1', path)
            what = f'record {place} of {count}, counted from 0, is damaged or missing'
            raise ValueError(f'{path}: {what}; {REMEDY}') from None
        if match := re.search(r'(?:^|\}\} )([^{}]*); No such file', error.message):
            raise ValueError(f'{match[1]}: no such shard; {CONVERT}') from None
        raise


def check_records(folder: str, dataset: Dataset, split: str) -> None:
    """Reads all records of `split`; raises ValueError that names the first damaged shard."""
    check_sizes(folder, dataset, [split])
    with damage_named():
        for shard in dataset.shards(split):
            path = os.path.join(folder, shard.path)
            shard_records(path, shard.num_examples).reduce(0, lambda total, _: total + 1)
            if shard.num_bytes is None:  # of older descriptions: no size has told of more records
                for _ in tf.data.TFRecordDataset(path).skip(shard.num_examples).take(1):
                    what = f'holds more than its {shard.num_examples} records'
                    raise ValueError(f'{path}: {what}; {REMEDY}')
