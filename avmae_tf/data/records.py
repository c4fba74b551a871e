"""A folder of records: shards of TFRecord files beside `dataset.json`, which describes them.

dataset.json                          classes by head, media settings, shards and their counts
Split-train/clips-00000-of-00004      TFRecord, uncompressed (TFX's layout of a split)
Split-eval/...
"""

import os

import pydantic
import tensorflow as tf

from avmae_tf.config import MediaSpec, Spec
from avmae_tf.data.files import write_text
from avmae_tf.data.heads import HEADS, LABEL, Classes

DATASET_FILE = 'dataset.json'


class Shard(Spec):
    """One TFRecord file, by its path below the folder."""

    path: str
    num_examples: int
    num_bytes: int | None = None  # older descriptions do not say


class Dataset(Spec):
    """What a folder of records holds."""

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

    def num_examples(self, split: str) -> int:
        return sum(shard.num_examples for shard in self.shards(split))

    def shards(self, split: str) -> tuple[Shard, ...]:
        """The shards of `split` that hold anything; an empty or unknown split is an error."""
        shards = tuple(s for s in self.splits.get(split, ()) if s.num_examples)
        if not shards:
            raise ValueError(
                f'split {split!r} holds no examples; splits with examples: '
                f'{sorted(k for k, v in self.splits.items() if any(s.num_examples for s in v))}'
            )
        return shards


def load_dataset(folder: str) -> Dataset:
    """Reads `dataset.json`; raises ValueError that names the file or folder, and the fix."""
    path = os.path.join(folder, DATASET_FILE)
    if not tf.io.gfile.exists(path):
        raise ValueError(f'{folder}: no {DATASET_FILE} here; make records with `avmae convert`')
    with tf.io.gfile.GFile(path, 'rb') as f:
        try:
            return Dataset.from_json(f.read())
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            field = '.'.join(map(str, first['loc'])) or 'all of it'
            raise ValueError(
                f'{path}: must be as `avmae convert` wrote it, and is damaged or of another '
                f'version ({field}: {first["msg"]}); make the records again'
            ) from None


def save_dataset(folder: str, dataset: Dataset):
    write_text(os.path.join(folder, DATASET_FILE), dataset.to_json())
