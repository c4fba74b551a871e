"""One index of a folder of videos, and how the videos of data sets are found in it.

People store a clip of a YouTube video ID from 30 s to 40 s as `ID.mp4`, which may be all of it or
the clip alone, or as `ID_000030.mp4`, `ID_30.mp4`, `ID_30_40.mp4`, `ID_30000_40000.mp4`, in any
folder and any container. An ID may hold `_` and `-` itself, so names are made, never taken apart.
"""

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from avmae_tf.data.files import is_folder, is_remote
from beam_jobs.manifests import EITHER_FILE, SEGMENT_FILE, VIDEO_FILE

VIDEO_SUFFIXES = frozenset(
    f'.{suffix}' for suffix in 'mp4 m4v mov webm mkv avi mpg mpeg ts 3gp flv ogv wmv mts'.split()
)
REMOTE_THREADS = 32


class File(NamedTuple):
    """A video: its path below the folder; all 0 for one that is not there."""

    name: str
    size_bytes: int = 0
    modified_ns: int = 0


def is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


class VideoIndex:
    """Every video below a folder, listed once; symbolic links are followed.

    `unread` names what is there but was skipped: folders without permission, links to nowhere.

    Raises:
        ValueError: there is no such folder, or it cannot be read.
    """

    def __init__(self, folder: str):
        self.folder = str(folder)
        if not is_folder(self.folder):
            raise ValueError(f'{folder}: no such folder of videos')
        self.unread: list[str] = []
        if is_remote(self.folder):
            self.files = sorted(_list_remote(self.folder))
        else:
            self.files = sorted(_list(self.folder, self.unread.append))

    def path(self, file: File) -> str:
        return os.path.join(self.folder, file.name)

    @functools.cached_property
    def _by_name(self) -> dict[str, File]:
        return {file.name: file for file in self.files}

    @functools.cached_property
    def _by_stem(self) -> dict[str, File]:
        """Of files that differ in folder or suffix alone, the first counts."""
        return {
            os.path.splitext(os.path.basename(file.name))[0]: file for file in reversed(self.files)
        }

    def by_name(self, name: str, *_) -> tuple[File, str]:
        """The file of that path below the folder."""
        normal = os.path.normpath(name)
        file = self._by_name.get(normal)
        listed = is_video(normal) and not normal.startswith((os.pardir, os.sep))
        if file is None and not (listed or is_remote(self.folder)):
            try:
                stat = os.stat(os.path.join(self.folder, normal))
                file = File(name, stat.st_size, stat.st_mtime_ns)
            except OSError:
                pass
        return file or File(name), VIDEO_FILE

    def by_stem(self, video: str, *_) -> tuple[File, str]:
        """The file called `video`, whatever its folder and suffix."""
        return self._by_stem.get(video) or File(f'{video}.mp4'), VIDEO_FILE

    def by_segment(self, video: str, start: float, end: float) -> tuple[File, str]:
        """The file of that segment of the video, or of the video."""
        for stem in _segment_stems(video, start, end):
            if file := self._by_stem.get(stem):
                return file, SEGMENT_FILE
        return self.by_stem(video)[0], EITHER_FILE if start > 0 else VIDEO_FILE


def _segment_stems(video: str, start: float, end: float) -> Iterator[str]:
    first_ms, last_ms = round(start * 1000), round(end * 1000)
    yield f'{video}_{first_ms}_{last_ms}'
    if first_ms % 1000 == last_ms % 1000 == 0:
        first, last = first_ms // 1000, last_ms // 1000
        yield f'{video}_{first:06d}'
        yield f'{video}_{first}'
        yield f'{video}_{first}_{last}'
        yield f'{video}_{first:06d}_{last:06d}'
    yield f'{video}_{start:.3f}_{end:.3f}'
    yield f'{video}_{float(start)}_{float(end)}'


def _list(folder: str, skip: Callable[[str], None]) -> Iterator[File]:
    real, waiting, linked = os.path.realpath(folder), [''], set()
    while waiting:
        below = waiting.pop()
        for entry in _entries(folder, below, skip):
            name = os.path.join(below, entry.name)
            try:
                if entry.is_dir():
                    if entry.is_symlink():  # a link back up must not go round for ever
                        target = os.path.realpath(entry.path)
                        if target in linked or os.path.commonpath([real, target]) == target:
                            continue
                        linked.add(target)
                    waiting.append(name)
                elif is_video(entry.name):
                    stat = entry.stat()
                    yield File(name, stat.st_size, stat.st_mtime_ns)
            except OSError:  # a link to itself or to nowhere
                skip(name)


def _entries(folder: str, below: str, skip: Callable[[str], None]) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(os.path.join(folder, below)) as entries:
            yield from entries
    except OSError as error:
        if not below:
            raise ValueError(f'{folder}: {error.strerror}; must be a folder to read') from None
        skip(below)


def _list_remote(folder: str) -> Iterator[File]:
    import tensorflow as tf

    def status(path: str) -> File:
        stat = tf.io.gfile.stat(path)
        name = path[len(folder.rstrip('/')) + 1 :]
        return File(name, stat.length, max(1, stat.mtime_nsec))

    paths = (
        os.path.join(below, name)
        for below, _, names in tf.io.gfile.walk(folder)
        for name in names
        if is_video(name)
    )
    with ThreadPoolExecutor(REMOTE_THREADS) as pool:
        yield from pool.map(status, paths)
