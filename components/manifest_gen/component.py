"""ManifestGen: looks at videos and annotations, and leaves the manifest of what there is now."""

import os

from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component

from avmae_tf import console
from avmae_tf.config import FinetuneConfig
from avmae_tf.data.labelled import head_sizes
from avmae_tf.storage import exists, write_text
from beam_jobs.data_config import DataConfig
from beam_jobs.datasets import build_manifest
from beam_jobs.manifest_report import report_of
from beam_jobs.manifests import MANIFEST_FILE, Manifest, write_manifest
from components.manifest_gen.checks import check_labelled, check_one_label

REPORT_FILE = 'plan.json'


@component
def ManifestGen(
    data: Parameter[str], finetune: Parameter[str], folder: Parameter[str]
) -> OutputDict(manifest=str):  # type: ignore[valid-type]
    """Lists the clips; never cached, since only a look tells whether there are others.

    What follows takes the manifest's path, whose last part is a hash of what it holds: the same
    videos are the same path, and all that depends on them comes from the cache, on every engine.

    Args:
        data: A DataConfig as JSON.
        finetune: The FinetuneConfig, as JSON, of the classifier that is to be trained on them.
        folder: Where manifests are kept, a folder each.

    Raises:
        ValueError: the clips cannot be listed, or no classifier could be trained on them.
    """
    manifest = list_clips(DataConfig.from_json(data), FinetuneConfig.from_json(finetune))
    console.say(f'  {len(manifest.rows)} clips, {manifest.num_classes} classes')
    return {'manifest': keep(manifest, folder)}


def list_clips(data: DataConfig, finetune: FinetuneConfig) -> Manifest:
    """What there is to convert.

    Raises:
        ValueError: the clips cannot be listed, have several labels under a softmax, or none where
            they are needed.
    """
    manifest = build_manifest(
        data.videos,
        data.annotations,
        name=data.dataset,
        subset=data.subset,
        required=data.media.required,
        allow_outside=data.allow_outside,
    )
    head_sizes(finetune, dict(manifest.heads))
    if finetune.loss == 'softmax':
        check_one_label(manifest)
    check_labelled(manifest)
    return manifest


def keep(manifest: Manifest, folder: str) -> str:
    """The path of the manifest in `folder`, where it is written if it is not there yet."""
    path = os.path.join(folder, manifest.fingerprint)
    if not exists(os.path.join(path, MANIFEST_FILE)):
        write_text(os.path.join(path, REPORT_FILE), report_of(manifest).to_json())
        write_manifest(path, manifest)
    return path
