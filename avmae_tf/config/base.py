"""Constants of the field, and the frozen, strict model that all settings are made of."""

import difflib
import functools
import json
import operator
from typing import Annotated, Literal

import pydantic
import pydantic_core

VIDEO, AUDIO = 'video', 'audio'
MODALITIES = (VIDEO, AUDIO)  # also the order in which their tokens are concatenated
Modality = Literal['video', 'audio']

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160  # 10 ms: 100 log-mel frames per second
NUM_MEL_BINS = 128

Ratio = Annotated[float, pydantic.Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, pydantic.Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, pydantic.Field(ge=0.0)]
Count = Annotated[int, pydantic.Field(ge=1)]


NUM_NAMED = 8  # fields that a message names
UNKNOWN_FIELD = 'unknown_field'


class Spec(pydantic.BaseModel):
    """A frozen group of settings; an unknown or misspelt field is an error that names it."""

    model_config = pydantic.ConfigDict(frozen=True, extra='forbid')

    @pydantic.model_validator(mode='before')
    @classmethod
    def _only_known_fields(cls, settings):
        """Names the fields that there are where one is not."""
        if isinstance(settings, dict) and (unknown := [*(settings.keys() - cls.model_fields)]):
            name = min(map(str, unknown))
            near = difflib.get_close_matches(name, cls.model_fields, NUM_NAMED)
            known = near if near or len(cls.model_fields) > NUM_NAMED else [*cls.model_fields]
            raise pydantic_core.PydanticCustomError(
                UNKNOWN_FIELD,
                'no such field' + ('; there is {known}' if known else ''),
                {'name': name, 'known': ', '.join(known)},
            )
        return settings

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode='json'), sort_keys=True)

    @classmethod
    def from_json(cls, text: str):
        return cls.model_validate_json(text)

    def replace(self, **changes):
        """A copy with `changes`, validated anew."""
        return type(self).model_validate({**self.model_dump(), **changes})


def first_error(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong: `field.of.group: what`."""
    first = error.errors(include_url=False)[0]
    name = [first['ctx']['name']] if first['type'] == UNKNOWN_FIELD else []
    field = '.'.join(map(str, [*first['loc'], *name]))
    message = first['msg'].removeprefix('Value error, ')
    return f'{field}: {message}' if field else message


def one_of(*kinds):
    """Any of `kinds`; a bare name stands for the one of that kind with its default settings."""
    return Annotated[
        functools.reduce(operator.or_, kinds),
        pydantic.Field(discriminator='kind'),
        pydantic.BeforeValidator(lambda v: {'kind': v} if isinstance(v, str) else v),
    ]
