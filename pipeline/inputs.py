"""What a run looks at and writes before its graph starts: models, manifest, schema of labels."""

import os

from avmae_tf.config.heads import EVENT
from avmae_tf.config.splits import USED
from avmae_tf.data.labelled import is_labelled
from avmae_tf.storage import exists, open_text, write_text
from avmae_tf.training.start import StartModels
from beam_jobs.datasets import build_manifest
from beam_jobs.manifests import Manifest, read_manifest, write_manifest
from components.evaluation.config import label_schema
from pipeline.config import PipelineConfig

SCHEMA_FILE = 'schema.pbtxt'


def start_fingerprint(config: PipelineConfig) -> str:
    """Of the models that the classifier starts from; '' where there are none.

    Raises:
        ValueError: one is no model, or the classifier cannot start from it.
    """
    try:
        return StartModels(config.finetune, config.start.models).fingerprint
    except ValueError as error:
        raise ValueError(f'start: {error}') from None


def write_inputs(config: PipelineConfig) -> Manifest:
    """Writes the manifest and the schema; files that would not change are left for the caches.

    Raises:
        ValueError: the clips cannot be listed, have several labels under a softmax, or none where
            they are needed.
    """
    manifest = build_manifest(
        config.data.videos,
        config.data.annotations,
        name=config.data.dataset,
        subset=config.data.subset,
        required=config.data.media.required,
        allow_outside=config.data.allow_outside,
    )
    if config.finetune.loss == 'softmax':
        check_one_label(manifest)
    check_labelled(manifest)
    if _manifest_before(config.manifest) != manifest:
        write_manifest(config.manifest, manifest)
    schema = os.path.join(config.schema_dir, SCHEMA_FILE)
    if not exists(schema) or open_text(schema).read() != label_schema():
        write_text(schema, label_schema())
    return manifest


def _manifest_before(folder: str) -> Manifest | None:
    """What the last run wrote; None if it wrote nothing, or was killed while it did."""
    try:
        return read_manifest(folder)
    except ValueError:
        return None


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
