"""Which videos there are to convert, and what is kept of them, as a pipeline's file says it."""

from typing import Annotated

import pydantic

from avmae_tf.config import ClipLimits, Count, MediaSpec, Spec
from beam_jobs import datasets


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

    @property
    def heads(self) -> tuple[str, ...]:
        """What its clips have labels for."""
        return datasets.heads_of(self.dataset)
