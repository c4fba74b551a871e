"""Everything a pipeline run depends on, in one YAML file."""

import os
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    ClipLimits,
    Count,
    FinetuneConfig,
    MediaSpec,
    PretrainConfig,
    RunSpec,
    Spec,
    first_error,
    read_yaml,
    resolve_recipe,
)
from avmae_tf.storage import open_text, path_in
from beam_jobs import datasets
from components.evaluation.config import Gate


def _recipe(recipes: Mapping[str, Spec]) -> pydantic.BeforeValidator:
    """A name of a recipe, or {recipe: name, field: value} for one with other settings."""
    return pydantic.BeforeValidator(lambda value: resolve_recipe(value, recipes))


def _data_set(name: str) -> str:
    if name not in datasets.NAMES:
        raise ValueError(f'must be one of {", ".join(datasets.NAMES)}, got {name!r}')
    return name


class DataConfig(Spec):
    """Where the videos are, and what of them is kept."""

    dataset: Annotated[str, pydantic.AfterValidator(_data_set)] = 'folder'
    videos: str
    annotations: str | None = None  # as published: a file, or a folder of several
    allow_outside: bool = False  # annotations may name files that are not below `videos`
    subset: str | None = None  # file of video ids: trains on these alone
    media: MediaSpec = MediaSpec()
    limits: ClipLimits = ClipLimits()
    num_shards: Count | None = None


class PipelineConfig(Spec):
    """A pipeline. `root` holds everything that it writes."""

    name: Annotated[str, pydantic.Field(pattern=r'^[a-z][a-z0-9_-]*$')] = 'avmae'
    root: str
    data: DataConfig
    pretrain: Annotated[PretrainConfig, _recipe(PRETRAIN_RECIPES)]
    finetune: Annotated[FinetuneConfig, _recipe(FINETUNE_RECIPES)]
    gate: Gate = Gate()
    run: RunSpec = RunSpec()

    @property
    def pipeline_root(self) -> str:
        """Artifacts, a folder a component."""
        return os.path.join(self.root, 'pipeline')

    @property
    def metadata_path(self) -> str:
        """ML Metadata in SQLite, for the local runner."""
        return os.path.join(self.root, 'metadata.sqlite')

    @property
    def work_dir(self) -> str:
        """Stable folders of work that may be killed and goes on; TensorBoard looks here."""
        return os.path.join(self.root, 'work')

    @property
    def manifest(self) -> str:
        return os.path.join(self.root, 'manifest', self.name)

    @property
    def schema_dir(self) -> str:
        return os.path.join(self.root, 'schema')

    @property
    def serving(self) -> str:
        """Where TF Serving finds numbered versions."""
        return os.path.join(self.root, 'serving', self.name)


def load_config(path: str, **changes: Any) -> PipelineConfig:
    """Reads a YAML file; its relative paths are below its own folder.

    Raises:
        ValueError: it cannot be read; names the file, the field and the rule.
    """
    try:
        with open_text(path) as f:
            settings = read_yaml(f, path) or {}
        if not isinstance(settings, dict):
            raise ValueError(f'{path}: must be fields with values, got {settings!r:.100}')
        config = PipelineConfig.model_validate({**settings, **changes})
    except pydantic.ValidationError as error:
        raise ValueError(f'{path}: {first_error(error)}') from None
    named = {name: getattr(config.data, name) for name in ('videos', 'annotations', 'subset')}
    data = config.data.replace(**{k: path_in(path, v) for k, v in named.items() if v is not None})
    return config.replace(root=path_in(path, config.root), data=data)
