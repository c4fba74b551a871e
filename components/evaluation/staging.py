"""Folders that TFMA reads and writes, brought to this machine where Beam has no client for them."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator

from avmae_tf.folders import copy_into
from avmae_tf.storage import ADDED_SCHEMES


def beam_reaches(folder: str) -> bool:
    """Whether Beam itself reads and writes there: on a disk, or in Cloud Storage."""
    return not folder.startswith(tuple(f'{scheme}:' for scheme in ADDED_SCHEMES))


@contextlib.contextmanager
def readable(folder: str, parts: Iterable[str]) -> Iterator[str]:
    """`folder` if Beam reaches it, else a copy of these folders of it, as long as the block lasts.

    The copy is in the temporary folder of this machine (TMPDIR), which must have room for it.
    """
    if beam_reaches(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as here:
        for part in parts:
            copy_into(os.path.join(folder, part), os.path.join(here, part))
        yield here


@contextlib.contextmanager
def writable(folder: str) -> Iterator[str]:
    """`folder` if Beam reaches it, else one here, which is copied there if the block succeeds."""
    if beam_reaches(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as here:
        yield here
        copy_into(here, folder)
