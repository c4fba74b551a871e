"""A folder of records: shards of TFRecord files beside `dataset.json`, which describes them.

dataset.json                          classes, media settings, shards and their counts
Split-train/clips-00000-of-00004      TFRecord, uncompressed (TFX's layout of a split)
Split-eval/...
"""

import os

import tensorflow as tf

from avmae_tf.config import MediaSpec, Spec

DATASET_FILE = 'dataset.json'


class Shard(Spec):
    """One TFRecord file, by its path below the folder."""

    path: str
    num_examples: int


class Dataset(Spec):
    """What a folder of records holds."""

    media: MediaSpec
    classes: tuple[str, ...] = ()
    splits: dict[str, tuple[Shard, ...]]
    fingerprint: str  # of the manifest and the settings that the records were made from

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


def write_text(path: str, text: str):
    """Writes a file whole or not at all."""
    tf.io.gfile.makedirs(os.path.dirname(path))
    temporary = f'{path}.{os.getpid()}.tmp'
    with tf.io.gfile.GFile(temporary, 'w') as f:
        f.write(text)
    tf.io.gfile.rename(temporary, path, overwrite=True)


def load_dataset(folder: str) -> Dataset:
    """Reads `dataset.json`; raises ValueError that names the folder and the fix."""
    path = os.path.join(folder, DATASET_FILE)
    if not tf.io.gfile.exists(path):
        raise ValueError(f'{folder}: no {DATASET_FILE} here; make records with `avmae convert`')
    with tf.io.gfile.GFile(path) as f:
        return Dataset.from_json(f.read())


def save_dataset(folder: str, dataset: Dataset):
    write_text(os.path.join(folder, DATASET_FILE), dataset.to_json())
