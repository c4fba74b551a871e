"""Constants of the field, and the frozen, strict model that all settings are made of."""

import functools
import json
import operator
from typing import Annotated, Literal

import pydantic

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


class Spec(pydantic.BaseModel):
    """A frozen group of settings; an unknown or misspelt field is an error that names it."""

    model_config = pydantic.ConfigDict(frozen=True, extra='forbid')

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode='json'), sort_keys=True)

    @classmethod
    def from_json(cls, text: str):
        return cls.model_validate_json(text)

    def replace(self, **changes):
        """A copy with `changes`, validated anew."""
        return type(self).model_validate({**self.model_dump(), **changes})


def one_of(*kinds):
    """Any of `kinds`; a bare name stands for the one of that kind with its default settings."""
    return Annotated[
        functools.reduce(operator.or_, kinds),
        pydantic.Field(discriminator='kind'),
        pydantic.BeforeValidator(lambda v: {'kind': v} if isinstance(v, str) else v),
    ]
