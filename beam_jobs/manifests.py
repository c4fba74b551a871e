"""A manifest: every clip to convert, once, and the classes of its labels.

On disk it is a folder with `rows.csv` (one clip a line) and `manifest.json` (classes by head, in
the order of their indices, and the folder of videos). It holds size and time of every video, so
that changed videos make another manifest, and with it another cache key, on every pipeline runner;
where the folder lies makes no difference to what is made of it. A run of a pipeline writes it anew,
whatever an older version left there.
"""

import csv
import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from avmae_tf.config.descriptions import Description
from avmae_tf.config.heads import HEADS, Classes
from avmae_tf.config.migrations import MANIFEST_FILE
from avmae_tf.storage import (
    NAME_ERRORS,
    open_text,
    read_settings,
    short_hash,
    to_bytes,
    write_text,
    written,
)

ROWS_FILE = 'rows.csv'
LABEL_SEPARATOR = '|'
# What the file of a row holds: the video that its times are of, the segment alone, or either of
# them (its length tells).
VIDEO_FILE, SEGMENT_FILE, EITHER_FILE = 'video', 'segment', 'either'


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One clip: seconds from `start` to `end` of a video, all of it where both are None.

    `video` tells videos apart, whatever their files are called; `path` is that of the file below
    the folder of videos. `modified_ns` is 0 for a file that is not there.
    """

    key: str
    video: str
    path: str
    split: str
    labels: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # by head
    start: float | None = None
    end: float | None = None
    holds: str = VIDEO_FILE
    size_bytes: int = 0
    modified_ns: int = 0

    @property
    def is_found(self) -> bool:
        """Whether its file is there."""
        return self.modified_ns != 0

    @property
    def seconds(self) -> float | None:
        """How long it is by its annotation."""
        return None if self.end is None else max(0.0, self.end - (self.start or 0.0))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All clips of a job, in the order of the annotations, and the classes of each head.

    `videos` is the folder that the paths of the rows are below.

    What is not in `rows`, and not kept on disk, is for the report: how many clips were named twice
    (each is in `rows` once), the videos of those named in two splits, what could not be read below
    the folder of videos, and how many other files there are by suffix.
    """

    rows: tuple[Row, ...]
    heads: Mapping[str, tuple[str, ...]]
    videos: str = ''
    named_twice: int = dataclasses.field(default=0, compare=False)
    leaked: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)
    unread: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def num_classes(self) -> int:
        """Classes of all heads together."""
        return sum(map(len, self.heads.values()))

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all but the folder: another one where a video was written again."""
        lines = text_lines(self.rows, self.heads)
        return short_hash(itertools.chain([json.dumps(self.heads).encode()], lines))


_FIELDS = (
    *('key', 'video', 'path', 'split', 'start', 'end', 'holds', 'size_bytes', 'modified_ns'),
)


def row_lines(
    rows: Iterable[Row], heads: Iterable[str], fields: tuple[str, ...] = _FIELDS
) -> Iterator[list]:
    """Rows as lines of a CSV file, after the line that names its columns."""
    yield [*fields, *heads]
    for row in rows:
        labels = [LABEL_SEPARATOR.join(row.labels.get(head, ())) for head in heads]
        yield [*(getattr(row, name) for name in fields), *labels]


class _Echo:
    """A file for csv.writer, whose `writerow` then returns the line."""

    def write(self, text: str) -> str:
        return text


def text_lines(
    rows: Iterable[Row], heads: Iterable[str], fields: tuple[str, ...] = _FIELDS
) -> Iterator[bytes]:
    """The lines of `row_lines` as a file has them, to hash."""
    return map(to_bytes, map(csv.writer(_Echo()).writerow, row_lines(rows, heads, fields)))


def rows_of(lines: Iterable[str], heads: Iterable[str]) -> Iterator[Row]:
    """The rows that `row_lines` made lines of."""

    @functools.cache
    def labels(texts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        by_head = zip(heads, texts, strict=True)
        return {head: tuple(text.split(LABEL_SEPARATOR)) for head, text in by_head if text}

    for fields in csv.DictReader(lines):
        yield Row(
            **{name: fields[name] for name in ('key', 'video', 'path', 'split', 'holds')},
            labels=labels(tuple(fields[head] for head in heads)),
            start=float(fields['start']) if fields['start'] else None,
            end=float(fields['end']) if fields['end'] else None,
            size_bytes=int(fields['size_bytes']),
            modified_ns=int(fields['modified_ns']),
        )


class ManifestDescription(Description):
    """What `manifest.json` holds."""

    FILE: ClassVar[str] = MANIFEST_FILE
    heads: Classes
    videos: str


def write_manifest(folder: str, manifest: Manifest) -> None:
    """Writes the files of a manifest, each whole or not at all, its description last."""
    with written(os.path.join(folder, ROWS_FILE)) as f:
        csv.writer(f).writerows(row_lines(manifest.rows, manifest.heads))
    about = ManifestDescription(heads=manifest.heads, videos=manifest.videos)
    write_text(os.path.join(folder, MANIFEST_FILE), about.to_json())


def read_manifest(folder: str) -> Manifest:
    """The manifest that `write_manifest` wrote to `folder`."""
    path = os.path.join(folder, MANIFEST_FILE)
    with open_text(path):  # says so where it is not there
        about = read_settings(path, ManifestDescription, 'run the pipeline again')
    heads = {head: about.heads[head] for head in HEADS if head in about.heads}
    with open_text(os.path.join(folder, ROWS_FILE), NAME_ERRORS) as f:
        return Manifest(tuple(rows_of(f, heads)), heads, about.videos)
