"""What the labels of a manifest rule out, found before hours of conversion and pretraining."""

from avmae_tf.config.heads import EVENT
from avmae_tf.config.splits import USED
from avmae_tf.data.labelled import is_labelled
from beam_jobs.manifests import Manifest


def check_labelled(manifest: Manifest) -> None:
    """Raises ValueError where nothing with a label is there to train or to test a classifier on."""
    there = {
        row.split
        for row in manifest.rows
        if row.is_found and is_labelled(row.labels, manifest.heads)
    }
    for split in USED:
        if split not in there:
            raise ValueError(
                f'{manifest.videos}: no clip of the split {split!r} that is there has a label; '
                'finetuning and evaluation need some: label them in data.annotations'
            )


def check_one_label(manifest: Manifest) -> None:
    """Raises ValueError at a clip with several labels: a softmax has one right class."""
    for row in manifest.rows:
        for head, labels in row.labels.items():
            if head != EVENT and len(labels) > 1:
                raise ValueError(
                    f'{row.key}: a softmax needs one {head} a clip, got {", ".join(labels)}; '
                    'set finetune.loss to sigmoid'
                )
