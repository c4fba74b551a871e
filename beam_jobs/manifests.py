"""From annotations and a folder of videos to a manifest: every clip to convert, once.

A manifest is a folder with `rows.csv` (one clip a line) and `classes.txt` (one class a line, in
the order of their indices). It holds size and time of every video, so that changed videos make
another manifest, and with it another cache key, on every pipeline runner.
"""

import csv
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import tensorflow as tf

from avmae_tf.data.records import write_text

ROWS_FILE, CLASSES_FILE = 'rows.csv', 'classes.txt'
VIDEO_SUFFIXES = frozenset(
    f'.{suffix}' for suffix in 'mp4 m4v mov webm mkv avi mpg mpeg ts 3gp flv ogv'.split()
)
SPLIT_NAMES = {'val': 'eval', 'valid': 'eval', 'validation': 'eval', 'test': 'eval'}
EVAL_BUCKETS, NUM_BUCKETS = 1, 10  # where the annotations name no split: a tenth is held out
LABEL_SEPARATOR = '|'


@dataclasses.dataclass(frozen=True)
class Row:
    """One clip: seconds from `start` to `end` of a video, all of it where both are None.

    `modified_ns` is 0 for a video that is not there.
    """

    key: str
    path: str
    split: str
    labels: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    size_bytes: int = 0
    modified_ns: int = 0


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All clips of a job, in the order of the annotations, and the classes of their labels."""

    rows: tuple[Row, ...]
    classes: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self.classes).encode())
        for row in self.rows:
            digest.update(repr(dataclasses.astuple(row)).encode())
        return digest.hexdigest()[:16]


def bucket(text: str, count: int) -> int:
    """A number below `count` that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], 'big') % count


def _annotated(videos: Path, annotations: Path) -> Iterator[dict]:
    with annotations.open(newline='', encoding='utf-8-sig') as f:
        reader = csv.DictReader(f)
        known = {'path', 'label', 'start', 'end', 'split'}
        if 'path' not in (reader.fieldnames or ()):
            raise ValueError(
                f'{annotations}: the first line must name the columns path[,label][,start,end]'
                f'[,split], got {reader.fieldnames}'
            )
        if unknown := set(reader.fieldnames) - known:
            raise ValueError(
                f'{annotations}: unknown columns {sorted(unknown)}; known are {sorted(known)}'
            )
        for line, fields in enumerate(reader, start=2):
            if fields.get('path') is None or None in fields or None in fields.values():
                raise ValueError(f'{annotations}, line {line}: not {len(reader.fieldnames)} fields')
            yield {k: v.strip() for k, v in fields.items()} | {'line': line}


def _found(videos: Path) -> Iterator[dict]:
    for path in sorted(videos.rglob('*')):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            yield {'path': str(path.relative_to(videos))}


def _seconds(fields: dict, name: str, annotations) -> float | None:
    text = fields.get(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        where = f'{annotations}, line {fields["line"]}'
        raise ValueError(f'{where}: {name} must be seconds, got {text!r}') from None


def _split(fields: dict) -> str:
    if name := fields.get('split'):
        return SPLIT_NAMES.get(name, name)
    # by file, so that two clips of one video never lie on both sides
    return 'eval' if bucket(fields['path'], NUM_BUCKETS) < EVAL_BUCKETS else 'train'


def plan_folder(videos: str, annotations: str | None = None) -> Manifest:
    """The manifest of a tree of videos and a CSV `path[,label][,start,end][,split]`.

    Paths are relative to `videos`; several labels of a clip are separated by `|`. Without
    annotations every video below the folder is an unlabelled clip. A clip named twice counts once.

    Raises:
        ValueError: the annotations cannot be read; it names the file, the line and the fix.
    """
    root = Path(videos)
    if not root.is_dir():
        raise ValueError(f'{videos}: no such folder of videos')
    if annotations and not Path(annotations).is_file():
        raise ValueError(f'{annotations}: no such annotation file')
    source = _annotated(root, Path(annotations)) if annotations else _found(root)
    rows = {}
    for fields in source:
        path = root / fields['path']
        start, end = (_seconds(fields, name, annotations) for name in ('start', 'end'))
        segment = '' if start is None and end is None else f'#{start or 0:g}-{end or "":g}'
        key = fields['path'] + segment
        stat = path.stat() if path.is_file() else None
        label = fields.get('label') or ''
        rows[key] = Row(
            key=key,
            path=str(path),
            split=_split(fields),
            labels=tuple(x for x in map(str.strip, label.split(LABEL_SEPARATOR)) if x),
            start=start,
            end=end,
            size_bytes=stat.st_size if stat else 0,
            modified_ns=stat.st_mtime_ns if stat else 0,
        )
    if not rows:
        raise ValueError(f'{annotations or videos}: names no video')
    return Manifest(tuple(rows.values()), classes_of(rows.values()))


def classes_of(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(sorted({label for row in rows for label in row.labels}))


_FIELDS = tuple(field.name for field in dataclasses.fields(Row))


def write_manifest(folder: str, manifest: Manifest):
    """Writes both files of a manifest, each whole or not at all."""
    lines = [_FIELDS]
    for row in manifest.rows:
        values = dataclasses.asdict(row) | {'labels': LABEL_SEPARATOR.join(row.labels)}
        lines.append(['' if values[name] is None else values[name] for name in _FIELDS])
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(lines)
    write_text(os.path.join(folder, CLASSES_FILE), ''.join(f'{c}\n' for c in manifest.classes))
    write_text(os.path.join(folder, ROWS_FILE), text.getvalue())


def read_manifest(folder: str) -> Manifest:
    """The manifest that `write_manifest` wrote to `folder`."""
    with tf.io.gfile.GFile(os.path.join(folder, CLASSES_FILE)) as f:
        classes = tuple(f.read().splitlines())
    with tf.io.gfile.GFile(os.path.join(folder, ROWS_FILE)) as f:
        rows = tuple(
            Row(
                **{name: fields[name] for name in ('key', 'path', 'split')},
                labels=tuple(filter(None, fields['labels'].split(LABEL_SEPARATOR))),
                start=float(fields['start']) if fields['start'] else None,
                end=float(fields['end']) if fields['end'] else None,
                size_bytes=int(fields['size_bytes']),
                modified_ns=int(fields['modified_ns']),
            )
            for fields in csv.DictReader(f)
        )
    return Manifest(rows, classes)
