"""Constants of the field, and the frozen, strict model that all settings are made of."""

import difflib
import json
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import pydantic
import pydantic_core
from pydantic_core import PydanticUndefined
from typing_extensions import Self

Modality = Literal['video', 'audio']
VIDEO: Final = 'video'
AUDIO: Final = 'audio'
MODALITIES: tuple[Modality, ...] = (VIDEO, AUDIO)  # also the order in which tokens are joined

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160  # 10 ms: 100 log-mel frames per second
NUM_MEL_BINS = 128
RANDOM_ALGORITHM = 'philox'  # of steps: what CPUs and GPUs draw by if nothing is said, TPUs not

Ratio = Annotated[float, pydantic.Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, pydantic.Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, pydantic.Field(ge=0.0)]
Count = Annotated[int, pydantic.Field(ge=1)]


NUM_NAMED = 10  # fields that a message names
UNKNOWN_FIELD = 'unknown_field'


class Spec(pydantic.BaseModel):
    """A frozen group of settings; an unknown or misspelt field is an error that names it."""

    model_config = pydantic.ConfigDict(frozen=True, extra='forbid')

    @pydantic.model_validator(mode='before')
    @classmethod
    def _only_known_fields(cls, settings: Any) -> Any:
        """Refuses an unknown field, and names those that there are."""
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
        """The settings as one line of JSON, in the order of their names."""
        return json.dumps(self.model_dump(mode='json'), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The settings that `to_json` wrote; raises pydantic's ValidationError."""
        return cls.model_validate_json(text)

    def replace(self, **changes: Any) -> Self:
        """A copy with `changes`, validated anew."""
        return type(self).model_validate({**self.model_dump(), **changes})


def first_error(error: pydantic.ValidationError) -> str:
    """An error of pydantic in one line, the first of them: `field.of.group: what is wrong`."""
    first = error.errors(include_url=False)[0]
    name = [first['ctx']['name']] if first['type'] == UNKNOWN_FIELD else []
    field = '.'.join(map(str, [*first['loc'], *name]))
    message = first['msg'].removeprefix('Value error, ')
    return f'{field}: {message}' if field else message


class Kind(Spec):
    """One of a family of settings that are told apart by `kind`.

    A family is a subclass of this; a subclass of the family that gives `kind` a value belongs to
    it from then on, wherever it is defined.
    """

    kind: str

    @classmethod
    def family(cls) -> dict[str, type['Kind']]:
        """All members of a family by name."""
        members: dict[str, type[Kind]] = {}
        for member in cls.__subclasses__():
            if (name := member.model_fields['kind'].default) is not PydanticUndefined:
                members[name] = member
            members |= member.family()
        return members


def any_of(
    family: type[Kind], fits: Callable[[Any], bool] = lambda member: True
) -> pydantic.BeforeValidator:
    """Makes a field take every member of `family` for which `fits` is true.

    A bare name stands for the member with its default settings.
    """

    def resolve(value: Any) -> Any:
        if isinstance(value, str):
            value = {'kind': value}
        if isinstance(value, dict):
            names = {name: member for name, member in family.family().items() if fits(member)}
            if value.get('kind') not in names:
                raise ValueError(
                    f'kind must be one of {", ".join(names)}, got {value.get("kind")!r}'
                )
            value = names[value['kind']].model_validate(value)
        if isinstance(value, family) and not fits(type(value)):
            raise ValueError(f'{value.kind!r} cannot be used here')
        return value

    return pydantic.BeforeValidator(resolve)
