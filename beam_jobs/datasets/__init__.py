"""Data sets by name: every module of this package is one, with `HEADS` and `read(annotations)`.

`read` takes the file or folder of the annotations as published, or None, and returns `Published`.
"""

import importlib
import pkgutil
from collections.abc import Collection
from types import ModuleType

from avmae_tf.config import MODALITIES
from beam_jobs.manifests import Manifest

FOLDER = 'folder'
NAMES = tuple(sorted(m.name.replace('_', '-') for m in pkgutil.iter_modules(__path__)))


def build_manifest(
    videos: str,
    annotations: str | None = None,
    *,
    name: str = FOLDER,
    subset: str | None = None,
    required: Collection[str] = MODALITIES,
    allow_outside: bool = False,
) -> Manifest:
    """The manifest of the data set `name`, whose videos are below the folder `videos`.

    Where no video is `required` of a clip, files of sound are found as well. `allow_outside` lets
    annotations name files that are not below the folder.

    Raises:
        ValueError: the annotations cannot be read; it names the file, the line and the fix.
    """
    from beam_jobs.manifest_builder import assemble_manifest
    from beam_jobs.videos import VideoIndex

    module = _module(name)
    index = VideoIndex(videos, required)
    published = module.read(str(annotations) if annotations else None)
    named = annotations or videos
    return assemble_manifest(
        published, index, named=named, subset=subset, allow_outside=allow_outside
    )


def heads_of(name: str) -> tuple[str, ...]:
    """The heads that clips of the data set `name` have labels for, before any is looked at."""
    return _module(name).HEADS


def _module(name: str) -> ModuleType:
    if name not in NAMES:
        raise ValueError(f'data set must be one of {", ".join(NAMES)}, got {name!r}')
    return importlib.import_module(f'{__name__}.{name.replace("-", "_")}')
