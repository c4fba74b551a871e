"""What records hold, counted in one pass: labels, rates, lengths, bytes, and a sample of clips."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from avmae_tf.config.heads import HEADS, Classes
from avmae_tf.data.dataset import (
    DATASET_FILE,
    REMEDY,
    check_sizes,
    damage_named,
    load_dataset,
    shard_records,
)
from avmae_tf.data.records import measure_record
from avmae_tf.storage import exists, is_folder

TOP_LABELS = 20
SAMPLE_SEED = 0

Progress = Callable[[int, int], None]  # records done, records in all


def names_of(clip: dict, head: str, classes: tuple[str, ...]) -> list[str]:
    """Labels of a measured clip as text: as written, else by index among `classes`, else #index."""
    texts = clip['texts'][head]
    if len(texts):
        return [text.decode() for text in texts]
    return [classes[i] if 0 <= i < len(classes) else f'#{i}' for i in clip['labels'][head]]


@dataclasses.dataclass
class Survey:
    """Counts over all records; `sample` holds a few of them, serialized, drawn at random."""

    splits: dict[str, int]
    classes: Classes  # those that the folder names, by head; none for a single file
    labels: dict[str, collections.Counter] = dataclasses.field(default_factory=dict)  # by head
    frame_rates: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    sample_rates: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    seconds: list[float] = dataclasses.field(default_factory=list)  # of the longer modality
    num_bytes: list[int] = dataclasses.field(default_factory=list)
    without: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    sample: list[bytes] = dataclasses.field(default_factory=list)

    @property
    def clips(self) -> int:
        """How many clips were counted."""
        return len(self.num_bytes)

    def head_summary(self, head: str) -> dict:
        """Classes of a head, how many of them have no example, and its most frequent labels."""
        classes, counts = self.classes.get(head, ()), self.labels.get(head, collections.Counter())
        return {
            'num_classes': len(classes or counts),
            'classes_without_examples': sum(not counts[name] for name in classes),
            'top_labels': dict(counts.most_common(TOP_LABELS)),
        }

    def summary(self) -> dict:
        """All of it as plain values, for JSON."""
        quantiles = np.quantile(self.seconds or [0.0], [0.0, 0.1, 0.5, 0.9, 1.0])
        names = ('shortest', 'tenth', 'median', 'nine_tenths', 'longest')
        heads = [head for head in HEADS if head in self.classes or head in self.labels]
        return {
            'clips': self.clips,
            'splits': self.splits,
            'heads': {head: self.head_summary(head) for head in heads},
            'unlabelled_clips': self.without['label'],
            'frames_per_second': {f'{k:g}': v for k, v in sorted(self.frame_rates.items())},
            'sample_rate_hz': {str(k): v for k, v in sorted(self.sample_rates.items())},
            'seconds': {k: round(float(q), 3) for k, q in zip(names, quantiles, strict=True)},
            'bytes_per_clip': round(sum(self.num_bytes) / max(self.clips, 1)),
            'bytes': sum(self.num_bytes),
            'without_video': self.without['video'],
            'without_audio': self.without['audio'],
        }


def is_records(path: str) -> bool:
    """Whether `path` is a folder of records, or a file, which may then be one of its shards."""
    if is_folder(path):
        return exists(os.path.join(path, DATASET_FILE))
    return exists(path)


def survey(path: str, num_sample: int = 0, progress: Progress = lambda done, total: None) -> Survey:
    """Reads a folder of records, or one TFRecord file.

    Raises:
        ValueError: a file is damaged, or none of records.
    """
    if is_folder(path):
        dataset = load_dataset(path)
        splits = {k: sum(s.num_examples for s in v) for k, v in dataset.splits.items()}
        held = {split: dataset.shards(split) for split, count in splits.items() if count}
        check_sizes(path, dataset, held)
        files = [(os.path.join(path, s.path), s.num_examples) for v in held.values() for s in v]
        result = Survey(splits, dataset.heads)
    else:
        files, result = [(path, None)], Survey({}, {})
    total, rng = sum(result.splits.values()), np.random.default_rng(SAMPLE_SEED)
    for file, count in files:
        for record, clip in _read(file, count):
            _count(result, record, clip)
            place = result.clips - 1  # every record is in the sample with the same chance
            if place >= num_sample:
                place = rng.integers(result.clips)
            if place < num_sample:
                result.sample[place : place + 1] = [record]
            if total:
                progress(result.clips, total)
    return result


# Traced once, not for each file.
_measured = tf.function(
    measure_record, input_signature=[tf.TensorSpec([], tf.string)], autograph=False
)


def _read(path: str, count: int | None) -> Iterator[tuple[bytes, dict]]:
    """The records of a shard of `count`, or of a file of any number, each with its measures."""
    if count is None:
        records = tf.data.TFRecordDataset(path)
    else:
        records = shard_records(path, count).map(lambda _, record: record)
    records = records.map(
        lambda record: (record, _measured(record)), num_parallel_calls=tf.data.AUTOTUNE
    )
    number = 0
    try:
        with damage_named():
            for record, clip in records.as_numpy_iterator():
                if clip['fault']:
                    raise ValueError(f'{path}: record {number}: {clip["fault"].decode()}')
                yield record, clip
                number += 1
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        raise ValueError(
            f'{path}: record {number} cannot be read: no file of records, or a damaged one; '
            f'{REMEDY}'
        ) from None


def _count(result: Survey, record: bytes, clip: dict):
    names = {head: names_of(clip, head, result.classes.get(head, ())) for head in HEADS}
    for head, labels in names.items():
        if labels:
            result.labels.setdefault(head, collections.Counter()).update(labels)
    result.num_bytes.append(len(record))
    lengths = [0.0]
    if clip['num_frames']:
        result.frame_rates[float(clip['frames_per_second'])] += 1
        lengths.append(float(clip['num_frames'] / clip['frames_per_second']))
    if clip['num_samples']:
        result.sample_rates[int(clip['sample_rate_hz'])] += 1
        lengths.append(float(clip['num_samples'] / clip['sample_rate_hz']))
    result.seconds.append(max(lengths))
    held = {
        'video': clip['num_frames'],
        'audio': clip['num_samples'],
        'label': any(names.values()),
    }
    for name, has in held.items():
        result.without[name] += not has
