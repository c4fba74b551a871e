"""Which clips of a data set have labels, and how many there are of each kind.

A clip is labelled if every head of its data set has a label for it. Others are for pretraining:
finetuning and evaluation leave them out.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sized

import numpy as np
import tensorflow as tf

from avmae_tf.config import FinetuneConfig
from avmae_tf.config.heads import EVENT, EVENT_SECONDS, Classes
from avmae_tf.data.dataset import Dataset, Shard, damage_named, shard_records
from avmae_tf.data.records import label_index_key


def is_labelled(labels: Mapping[str, Sized], heads: Iterable[str]) -> bool:
    """Whether every head has a label, by its labels."""
    return bool(heads) and all(len(labels.get(head, ())) for head in heads)


def has_several(labels: Mapping[str, Sized]) -> bool:
    """Whether a head has several labels; those of an EVENT are one for each second."""
    return any(len(names) > 1 for head, names in labels.items() if head != EVENT)


def parse_labels(record: tf.Tensor, heads: Iterable[str]) -> dict[str, tf.Tensor]:
    """One serialized record to its labels by head, int64 [k]; its media stay untouched."""
    keys = {label_index_key(head): tf.io.VarLenFeature(tf.int64) for head in heads}
    context, _ = tf.io.parse_single_sequence_example(record, context_features=keys)
    return {head: context[label_index_key(head)].values for head in heads}


def only_labelled(heads: Iterable[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A predicate: whether a serialized record has a label for each of `heads`."""

    def keep(record: tf.Tensor) -> tf.Tensor:
        sizes = [tf.size(indices) for indices in parse_labels(record, heads).values()]
        return tf.reduce_all(tf.stack(sizes) > 0)

    return keep


def count_labels(folder: str, dataset: Dataset, splits: Iterable[str]) -> Dataset:
    """The description with the labels of these splits counted.

    `avmae convert` counts what it writes; where a description does not say, the records are read.

    Raises:
        ValueError: a record cannot be read, or has a label that is none of the classes.
    """
    counted = {split: dataset.splits[split] for split in splits if split in dataset.splits}
    for split, shards in counted.items():
        known = (s.num_labelled is not None and s.num_several is not None for s in shards)
        if not all(known):
            counted[split] = tuple(_count(folder, dataset, shard) for shard in shards)
    return dataset.replace(splits={**dataset.splits, **counted})


def check_one_label(folder: str, dataset: Dataset, splits: Iterable[str]) -> None:
    """Raises ValueError where clips have several labels: a softmax has one right class."""
    shards = [shard for split in splits for shard in dataset.splits.get(split, ())]
    if several := sum(shard.num_several for shard in shards):
        raise ValueError(
            f'{folder}: records have clips with several labels ({several} of them), and a softmax '
            'has one right class; finetune with --set loss=sigmoid (in a pipeline finetune.loss: '
            'sigmoid)'
        )


def head_sizes(config: FinetuneConfig, classes: Classes) -> dict[str, int]:
    """Classes of each head of the classifier that `config` trains on clips with these labels.

    Raises:
        ValueError: it cannot be trained on them.
    """
    sizes = {head: len(names) for head, names in classes.items()}
    if not sizes or min(sizes.values()) < 2:
        raise ValueError(
            f'finetuning needs records with at least two classes, got {sizes}; '
            'give `avmae convert` an annotation file with labels'
        )
    seconds = EVENT_SECONDS if EVENT in sizes else 1
    if config.segments != seconds:
        raise ValueError(
            f'segments must be {seconds} for records with the heads {list(sizes)}, got '
            f'{config.segments} (paper, appendix A.1)'
        )
    spans = {m: config.inputs(m).span_seconds for m in config.modalities}
    if seconds > 1 and any(x and not math.isclose(x, seconds) for x in spans.values()):
        raise ValueError(
            f'an event a second needs inputs of {seconds} s (paper, appendix A.1), got {spans}; '
            'change audio.seconds, and video.frames_per_second or video.num_frames'
        )
    return sizes


def say_left_out(count: int, lacks: str = 'a label') -> str:
    """How many clips have no label, or lack something else, for people."""
    return f'{count} clip{"s" if count > 1 else ""} without {lacks} left out'


def _count(folder: str, dataset: Dataset, shard: Shard) -> Shard:
    path, labelled, several = os.path.join(folder, shard.path), 0, 0
    records = shard_records(path, shard.num_examples).map(
        lambda place, record: (place, parse_labels(record, dataset.heads)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    try:
        with damage_named():
            for place, labels in records.as_numpy_iterator():
                for head, indices in labels.items():
                    _check_range(f'{path}: record {place}', head, indices, dataset)
                labelled += is_labelled(labels, dataset.heads)
                several += has_several(labels)
    except tf.errors.InvalidArgumentError:
        raise ValueError(f'{path}: must hold records of clips, got something else') from None
    return shard.replace(num_labelled=labelled, num_several=several)


def _check_range(where: str, head: str, indices: np.ndarray, dataset: Dataset):
    count = len(dataset.heads[head])
    if np.any((indices < 0) | (indices >= count)):
        raise ValueError(
            f'{where} must have labels of {head!r} from 0 to {count - 1}, got {indices.tolist()}'
        )
