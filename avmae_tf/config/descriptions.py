"""The base of all descriptions: JSON files that say what an artifact is, for later versions too."""

from typing import Any, ClassVar

import pydantic
from typing_extensions import Self

from avmae_tf.config.base import Spec
from avmae_tf.config.migrations import migrated, newest_format

_OBJECT = pydantic.TypeAdapter(dict[str, Any])


class Description(Spec):
    """A JSON file that says what an artifact is; the text of any older version is read, too.

    A setting that came later has a default; what else has changed is in `config.migrations`.
    """

    FILE: ClassVar[str]  # what migrations call it
    format_version: int = pydantic.Field(default_factory=newest_format)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The description in the JSON of any version.

        Raises:
            NewerFormat: a later version of this program wrote it.
            ValueError: it is damaged.
        """
        return cls.model_validate(migrated(cls.FILE, _OBJECT.validate_json(text)))
