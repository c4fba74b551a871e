"""The base of all descriptions: JSON files that say what an artifact is, for later versions too."""

from typing import Any, ClassVar

import pydantic
from typing_extensions import Self

from avmae_tf.config.base import Spec
from avmae_tf.config.migrations import migrated, newest_format

_OBJECT = pydantic.TypeAdapter(dict[str, Any])


class Description(Spec):
    """What a file says of an artifact; the JSON of any older version becomes one of today.

    A setting that came later has a default; what else has changed is in `config.migrations`.
    """

    FILE: ClassVar[str]  # what migrations call it
    format_version: int = pydantic.Field(default_factory=newest_format)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises ValueError: damaged, or NewerFormat, of a later version of this program."""
        return cls.model_validate(migrated(cls.FILE, _OBJECT.validate_json(text)))
