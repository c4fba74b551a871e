"""One index of a folder of videos, and how the videos of data sets are found in it.

People store a clip of a YouTube video ID from 30 s to 40 s as `ID.mp4`, which may be all of it or
the clip alone, or as `ID_000030.mp4`, `ID_30.mp4`, `ID_30_40.mp4`, `ID_30000_40000.mp4`,
`ID-30.mp4`, `YID.mp4` and so on, in any folder and any container. An ID may hold `_` and `-`
itself, so names are made, never taken apart.
"""

import bisect
import collections
import functools
import os
import stat
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from avmae_tf.config import MODALITIES
from avmae_tf.folders import files_below
from avmae_tf.storage import gfile, is_folder, is_remote
from beam_jobs.manifests import EITHER_FILE, SEGMENT_FILE, VIDEO_FILE, Row


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f'.{name}' for name in names.split())


VIDEO_SUFFIXES = _suffixes('mp4 m4v mov webm mkv avi mpg mpeg ts 3gp flv ogv wmv mts')
AUDIO_SUFFIXES = _suffixes('wav flac m4a opus mp3 ogg oga aac wma aif aiff mka weba ac3 amr caf')
ANY_SUFFIX = '.*'  # of a file that is not there
REMOTE_THREADS = 32


class File(NamedTuple):
    """A video: its path below the folder; all 0 for one that is not there."""

    name: str
    size_bytes: int = 0
    modified_ns: int = 0


def _there(name: str, status: os.stat_result) -> File:
    return File(name, status.st_size, status.st_mtime_ns or 1)  # 0: unpacked without its time


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def stem_of(name: str) -> str:
    """The name of a file without folders and suffix."""
    return os.path.splitext(os.path.basename(name))[0]


class VideoIndex:
    """Every video below a folder, listed once; symbolic links are followed.

    Where no video is `required` of a clip, files of sound count as well. `unread` names what is
    there but was skipped: folders without permission, links to nowhere, pipes and devices.
    `skipped` counts other files by suffix. Names in `taken` are never those of a segment: a data
    set puts its own videos there, whose ids may look like one.

    Raises:
        ValueError: there is no such folder, or it cannot be read.
    """

    def __init__(self, folder: str, required: Collection[str] = MODALITIES) -> None:
        self.folder = str(folder)
        if not is_folder(self.folder):
            raise ValueError(f'{folder}: no such folder of videos')
        self.suffixes = VIDEO_SUFFIXES | (frozenset() if 'video' in required else AUDIO_SUFFIXES)
        self.unread: list[str] = []
        self.skipped: collections.Counter[str] = collections.Counter()
        self.taken: Collection[str] = frozenset()
        list_files = self._list_remote if is_remote(self.folder) else self._list
        self.files = sorted(list_files())

    @functools.cached_property
    def _by_name(self) -> dict[str, File]:
        return {file.name: file for file in self.files}

    @functools.cached_property
    def _by_stem(self) -> dict[str, File]:
        """Of files that differ in folder or suffix alone, the first that is not empty counts."""
        found: dict[str, File] = {}
        for file in self.files:
            stem = stem_of(file.name)
            if stem not in found or (file.size_bytes and not found[stem].size_bytes):
                found[stem] = file
        return found

    @functools.cached_property
    def _stems(self) -> list[str]:
        return sorted(self._by_stem)

    def _begins_others(self, name: str) -> bool:
        """Whether there are files whose names go on after `name`."""
        place = bisect.bisect_right(self._stems, name)
        return place < len(self._stems) and self._stems[place].startswith(name)

    def by_name(self, name: str, *_: object) -> tuple[File, str]:
        """The file of that path below the folder."""
        normal = os.path.normpath(name)
        file = self._by_name.get(normal)
        listed = self._counts(normal) and not normal.startswith((os.pardir, os.sep))
        if file is None and not (listed or is_remote(self.folder)):
            try:
                status = os.stat(os.path.join(self.folder, normal))
                if stat.S_ISREG(status.st_mode):
                    file = _there(name, status)
            except (OSError, ValueError):
                pass
        return file or File(name), VIDEO_FILE

    def by_stem(self, video: str, *_: object) -> tuple[File, str]:
        """The file called `video`, whatever its folder and suffix."""
        return self._by_stem.get(video) or File(video + ANY_SUFFIX), VIDEO_FILE

    def by_segment(self, video: str, start: float, end: float) -> tuple[File, str]:
        """The file of that segment of the video, or of the video; an empty one for want of others.

        One that is not there may be either.
        """
        empty = None
        for name in (video, f'Y{video}'):  # without the Y an id may look like an option
            segments = _segment_stems(name, start, end) if self._begins_others(name) else ()
            for stem in (*segments, name):
                file = self._by_stem.get(stem)
                if file is None or (stem in self.taken and stem != video):
                    continue
                whole = EITHER_FILE if start > 0 else VIDEO_FILE
                found = file, whole if stem == name else SEGMENT_FILE
                if file.size_bytes:
                    return found
                empty = empty or found
        return empty or (File(video + ANY_SUFFIX), EITHER_FILE)

    def _counts(self, name: str) -> bool:
        return _suffix(name) in self.suffixes

    def _list(self) -> Iterator[File]:
        real, waiting, linked = os.path.realpath(self.folder), [''], set()
        while waiting:
            below = waiting.pop()
            for entry in _entries(self.folder, below, self.unread.append):
                name = os.path.join(below, entry.name)
                try:
                    if entry.is_dir():
                        if entry.is_symlink():  # a link back up must not go round for ever
                            target = os.path.realpath(entry.path)
                            if target in linked or os.path.commonpath([real, target]) == target:
                                continue
                            linked.add(target)
                        waiting.append(name)
                    elif not self._counts(name):
                        self.skipped[_suffix(name)] += 1
                    elif stat.S_ISREG((status := entry.stat()).st_mode):
                        yield _there(name, status)
                    else:
                        self.unread.append(name)
                except OSError:  # a link to itself or to nowhere
                    self.unread.append(name)

    def _list_remote(self) -> Iterator[File]:
        files = gfile(self.folder)

        def status(name: str) -> File:
            found = files.stat(os.path.join(self.folder, name))
            return File(name, found.length, max(1, found.mtime_nsec))

        names = [*files_below(self.folder)]
        self.skipped.update(_suffix(name) for name in names if not self._counts(name))
        with ThreadPoolExecutor(REMOTE_THREADS) as pool:
            yield from pool.map(status, filter(self._counts, names))


def _segment_stems(video: str, start: float, end: float) -> Iterator[str]:
    first_ms, last_ms = round(start * 1000), round(end * 1000)
    yield f'{video}_{first_ms}_{last_ms}'
    if first_ms % 1000 == last_ms % 1000 == 0:
        first, last = first_ms // 1000, last_ms // 1000
        yield f'{video}_{first:06d}'
        yield f'{video}_{first}'
        yield f'{video}_{first}_{last}'
        yield f'{video}_{first}-{last}'
        yield f'{video}_{first:06d}_{last:06d}'
        yield f'{video}-{first}'
        yield f'{video}-{first}-{last}'
        if first >= 10:  # ID_9000 is two hours and a half into a video, not nine seconds
            yield f'{video}_{first_ms}'
    yield f'{video}_{start:.3f}'
    yield f'{video}_{start:.3f}_{end:.3f}'
    yield f'{video}_{float(start)}'
    yield f'{video}_{float(start)}_{float(end)}'


def no_such_file(row: Row, path: str) -> str:
    """That the file of a row is not at `path`, and which names were looked for."""
    if row.holds != EITHER_FILE or row.start is None or row.end is None:
        return f'{path}: no such file'
    names = ', '.join(dict.fromkeys([row.video, *_segment_stems(row.video, row.start, row.end)]))
    return f'{path}: no such file; looked for {names}, each also with a Y before it'


def _entries(folder: str, below: str, skip: Callable[[str], None]) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(os.path.join(folder, below)) as entries:
            yield from entries
    except OSError as error:
        if not below:
            raise ValueError(f'{folder}: {error.strerror}; must be a folder to read') from None
        skip(below)
