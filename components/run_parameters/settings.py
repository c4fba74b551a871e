"""The settings of a pipeline that may change from run to run, under their names in its file."""

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    FinetuneConfig,
    PretrainConfig,
    Spec,
    check_number,
    check_start,
    resolve_recipe,
)
from beam_jobs.data_config import DataConfig
from components.evaluation.config import Gate

SCRATCH = 'scratch'
PATHS = ('data.videos', 'data.annotations', 'data.subset')
CHANGEABLE = (
    *PATHS,
    *('start.pretrain.schedule.epochs', 'start.pretrain.schedule.learning_rate'),
    *('finetune.schedule.epochs', 'finetune.schedule.learning_rate'),
    *(f'gate.{bound}' for bound in Gate.model_fields),
)


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


class RunSettings(Spec):
    """What a run does: with which clips, from which start, to which classifier, past which gate."""

    data: DataConfig
    start: StartConfig
    finetune: Annotated[FinetuneConfig, _recipe(FINETUNE_RECIPES)]
    gate: Gate = Gate()

    @pydantic.model_validator(mode='after')
    def _fits_its_pretraining(self) -> 'RunSettings':
        """What would be refused after hours of pretraining is refused here."""
        if self.start.pretrain:
            check_start(self.finetune, [self.start.pretrain], ['start.pretrain'])
        return self

    @property
    def parameters(self) -> dict[str, str]:
        """Name and value of all that may change, as text; '' is none."""
        settings = self.model_dump()
        found = {}
        for name in CHANGEABLE:
            value: Any = settings
            for part in name.split('.'):
                value = None if value is None else value[part]
            if not name.startswith('start.pretrain.') or self.start.pretrain:
                found[name] = '' if value is None else str(value)
        return found

    def changed(self, changes: Mapping[str, str]) -> 'RunSettings':
        """The settings with some of `parameters` replaced, validated anew.

        Raises:
            ValueError: there is no such parameter; pydantic's ValidationError is one, too.
        """
        settings, known = self.model_dump(), self.parameters
        for name, text in changes.items():
            if name not in known:
                raise ValueError(
                    f'{name}: cannot change between runs; what can is {", ".join(known)}'
                )
            *groups, field = name.split('.')
            group = settings
            for part in groups:
                group = group[part]
            group[field] = text or None
        return type(self).model_validate(settings)
