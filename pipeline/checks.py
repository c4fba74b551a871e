"""What a target cannot do with a pipeline, or has no use for, told before anything is sent."""

import os

from avmae_tf.storage import check_address, is_remote
from components.run_parameters.settings import PATHS
from pipeline.config import PipelineConfig
from pipeline.targets import KUBEFLOW, LOCAL, VERTEX, KubeflowTarget, Target, VertexTarget

# What has to look each time; it is quick, and what follows is cached by what it finds.
NEVER_CACHED = ('StartModels', 'ManifestGen', 'ServedModel', 'Pusher', 'RunOutcome')
COMPUTING, TRAINING = ('Pretrainer', 'Finetuner', 'Evaluator'), ('Pretrainer', 'Finetuner')
GCS, GCS_MOUNT, OWN_DISK = 'gs://', '/gcs/', 'file://'


def check_target(config: PipelineConfig, target: Target, nodes: list[str]) -> None:
    """Raises ValueError, naming the field, where `target` cannot run the pipeline of `nodes`.

    Of the target's settings those are refused, too, that would do nothing.
    """
    settings = config.targets.of(target)
    where = f'targets.{target}'
    for name, step in settings.components.items():
        field = f'{where}.components.{name}'
        if name not in nodes:
            raise ValueError(f'{field}: no such component; there is {", ".join(nodes)}')
        if step.cache and name in NEVER_CACHED:
            raise ValueError(f'{field}.cache: it has to look each time; leave it out')
        if getattr(step, 'gpu', None) and name not in COMPUTING:
            raise ValueError(f'{field}.gpu: only {", ".join(COMPUTING)} have use for a GPU')
        if getattr(step, 'tpu', None) and name not in TRAINING:
            raise ValueError(f'{field}.tpu: only {", ".join(TRAINING)} have use for a TPU')
        if getattr(step, 'workers', None) and name not in TRAINING:
            raise ValueError(f'{field}.workers: only {", ".join(TRAINING)} run on several machines')
    for field, path in _paths(config).items():
        try:
            check_address(path)
        except ValueError as error:
            raise ValueError(f'{field}: {error}') from None
    if target == LOCAL:
        return
    if '_' in config.name:
        raise ValueError(f'name: {target} takes no "_" in it, got {config.name!r}')
    for field, path in _paths(config).items():
        _check_path(field, path, target, settings)


def _paths(config: PipelineConfig) -> dict[str, str]:
    """All that the pipeline reads and writes, by the name of its field."""
    paths = {'root': config.root}
    for name in PATHS:
        if (path := config.settings.parameters[name]) != '':
            paths[name] = path
    return paths | {f'start.{i}': path for i, path in enumerate(config.start.models)}


def _check_path(
    field: str, path: str, target: Target, settings: KubeflowTarget | VertexTarget
) -> None:
    if isinstance(settings, VertexTarget):
        if path.startswith(GCS) or (path.startswith(GCS_MOUNT) and field != 'root'):
            return
        raise ValueError(f'{field}: {VERTEX} reads and writes Cloud Storage (gs://), got {path}')
    if is_remote(path) and not path.startswith(OWN_DISK):
        return
    volume = settings.volume
    if field == 'root':
        raise ValueError(f'root: {KUBEFLOW} keeps artifacts in a bucket (s3://, gs://), got {path}')
    if volume and os.path.commonpath([volume.path, path]) == os.path.normpath(volume.path):
        return
    raise ValueError(
        f'{field}: must be in a bucket, or on the volume of targets.{target}.volume, got {path}'
    )
