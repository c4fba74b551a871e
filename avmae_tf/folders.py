"""Folders that are copied or moved as a whole, on this machine, in a bucket or between the two."""

import os
from collections.abc import Iterator

from avmae_tf.storage import copy_file, exists, gfile, names_in


def files_below(folder: str) -> Iterator[str]:
    """Paths of all files in a folder and in those below it, relative to it."""
    top = folder.rstrip('/')
    for above, _, names in gfile(top).walk(top):
        yield from (os.path.join(above, name)[len(top) + 1 :] for name in names)


def copy_into(source: str, target: str) -> None:
    """Copies the files of the folder `source` into `target`."""
    for name in files_below(source):
        copy_file(os.path.join(source, name), os.path.join(target, name))


def link(source: str, target: str) -> None:
    """Makes `target` a second name of a file that nobody changes, or else a copy of it."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or a bucket
        copy_file(source, target)


def link_into(source: str, target: str) -> None:
    """Puts the files of the folder `source` into `target`, without a second copy on one disk."""
    for name in files_below(source):
        there = os.path.join(target, name)
        gfile(there).makedirs(os.path.dirname(there))
        link(os.path.join(source, name), there)


def move_into(source: str, target: str) -> None:
    """Moves what is in the folder `source` into the folder `target`."""
    files = gfile(target)
    files.makedirs(target)
    for name in sorted(names_in(source)):
        files.rename(os.path.join(source, name), os.path.join(target, name), overwrite=True)
    if exists(source):  # in some buckets an empty folder is none
        files.rmtree(source)
