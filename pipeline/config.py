"""Everything a pipeline run depends on, in one YAML file."""

import os
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    FinetuneConfig,
    PretrainConfig,
    RunSpec,
    Spec,
    check_number,
    check_start,
    first_error,
    read_yaml,
    resolve_recipe,
)
from avmae_tf.storage import open_text, path_in
from beam_jobs.data_config import DataConfig
from components.evaluation.config import Gate

SCRATCH = 'scratch'


def _recipe(recipes: Mapping[str, Spec]) -> pydantic.BeforeValidator:
    """A name of a recipe, or {recipe: name, field: value} for one with other settings."""
    return pydantic.BeforeValidator(lambda value: resolve_recipe(value, recipes))


class StartConfig(Spec):
    """Where the classifier starts: from a pretraining of the pipeline's own, from models, or not.

    In a file: {pretrain: RECIPE}, a path or a list of one or two, or `scratch`.
    """

    pretrain: Annotated[PretrainConfig | None, _recipe(PRETRAIN_RECIPES)] = None
    models: tuple[str, ...] = ()  # model folders, or image ViTs (.npz)

    @pydantic.model_validator(mode='before')
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        if value == SCRATCH:
            return {}
        if isinstance(value, str) and value:
            return {'models': (value,)}
        if isinstance(value, (list, tuple)) and value and all(isinstance(x, str) for x in value):
            return {'models': tuple(value)}
        if isinstance(value, (cls, dict)) and value not in ({}, {'pretrain': None}):
            return value
        raise ValueError(
            f'must be {{pretrain: RECIPE}}, a model or a list of two, or {SCRATCH}, got {value!r}'
        )

    @pydantic.model_validator(mode='after')
    def _one_of_them(self) -> 'StartConfig':
        if self.pretrain and self.models:
            raise ValueError('pretrain and models are both given; leave one of them out')
        if self.models:
            check_number(self.models)
        return self


class PipelineConfig(Spec):
    """A pipeline. `root` holds everything that it writes."""

    name: Annotated[str, pydantic.Field(pattern=r'^[a-z][a-z0-9_-]*$')] = 'avmae'
    root: str
    data: DataConfig
    start: StartConfig
    finetune: Annotated[FinetuneConfig, _recipe(FINETUNE_RECIPES)]
    gate: Gate = Gate()
    run: RunSpec = RunSpec()

    @pydantic.model_validator(mode='before')
    @classmethod
    def _pretrain_is_a_start(cls, settings: Any) -> Any:
        """Files that are older than `start` have `pretrain` in its place."""
        if not (isinstance(settings, dict) and 'pretrain' in settings):
            return settings
        if 'start' in settings:
            raise ValueError(
                'start and pretrain say the same, and both are given; give start: '
                '{pretrain: RECIPE} alone'
            )
        others = {name: value for name, value in settings.items() if name != 'pretrain'}
        return {**others, 'start': {'pretrain': settings['pretrain']}}

    @pydantic.model_validator(mode='after')
    def _fits_its_pretraining(self) -> 'PipelineConfig':
        """What would be refused after hours of pretraining is refused here."""
        if self.start.pretrain:
            check_start(self.finetune, [self.start.pretrain], ['start.pretrain'])
        return self

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
    def manifests(self) -> str:
        """A folder for each state that videos and annotations were in."""
        return os.path.join(self.root, 'manifests')

    @property
    def outcomes(self) -> str:
        """A file for each run, that says how it ended."""
        return os.path.join(self.root, 'outcomes')

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
    start = config.start.replace(models=tuple(path_in(path, x) for x in config.start.models))
    return config.replace(root=path_in(path, config.root), data=data, start=start)
