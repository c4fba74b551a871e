"""Annotations of a data set as published, and helpers to read their files."""

import contextlib
import csv
import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TextIO

from avmae_tf.storage import exists, is_folder, open_text
from beam_jobs.videos import File, VideoIndex


@dataclasses.dataclass(frozen=True, slots=True)
class Annotation:
    """One clip: seconds from `start` to `end` of `video`, all of it where both are None.

    Without a `key`, video and times make one; without a `split`, a tenth of the videos is held out.
    """

    video: str
    split: str = ''
    labels: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # by head
    start: float | None = None
    end: float | None = None
    key: str = ''
    where: str = ''  # file and line, for errors


@dataclasses.dataclass(frozen=True)
class Published:
    """A data set: its clips, the classes of its heads, and how its files are found.

    `clips` None is every video, unlabelled. The classes of a head may be (): those that occur,
    sorted. `one_clip` is what to do about two lines that label a clip differently.
    """

    clips: Iterable[Annotation] | None
    heads: Mapping[str, Sequence[str]]
    find: Callable[[VideoIndex, str, Any, Any], tuple[File, str]]  # video, start, end
    one_clip: str = 'keep one of the two lines'


def file_in(source: str | None, *names: str) -> str:
    """The file of the first of those names in the folder `source`, or `source` itself.

    Raises:
        ValueError: there is none.
    """
    if source and not is_folder(source):
        return source
    if found := optional_file(source, *names):
        return found
    raise ValueError(
        f'{source or "no annotations"}: needs {" or ".join(names)} as published; '
        'give its folder as annotations'
    )


def optional_file(folder: str | None, *names: str) -> str | None:
    """The file of the first of those names that is in `folder`, or None."""
    paths = [os.path.join(folder, name) for name in names] if folder else []
    return next(filter(exists, paths), None)


def present(folder: str, splits: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(path, split) of the files of `splits` that are in `folder`."""
    for file, split in splits.items():
        if path := optional_file(folder, file):
            yield path, split


@contextlib.contextmanager
def open_annotations(path: str) -> Iterator[Iterator[str]]:
    """The lines of a file; raises ValueError that names it where it is no text."""
    with open_text(path) as f:
        try:
            yield _lines(f, path)
        except UnicodeDecodeError as error:
            raise ValueError(f'{path}: must be text in UTF-8, got {error}') from None


def _lines(f: TextIO, path: str) -> Iterator[str]:
    for number, line in enumerate(f, 1):
        if '\0' in line:
            raise ValueError(f'{path}, line {number}: must be text in UTF-8, got a NUL character')
        yield line


def _records(path: str, **dialect: Any) -> Iterator[tuple[str, list[str]]]:
    """(file and line, fields) of every line that is not empty.

    A field ends where its line does: so a quote that is not closed is found on its own line, and
    takes no other lines into its field.
    """
    with open_annotations(path) as lines:
        reader = csv.reader(lines, strict=True, skipinitialspace=True, **dialect)
        for number in itertools.count(1):
            where = f'{path}, line {number}'
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if reader.line_num == number and 'end of data' not in str(error):
                    what = 'must be fields, separated as published'
                    raise ValueError(f'{where}: {what}, got {error}') from None
                fields = None
            if fields is None or reader.line_num != number:
                raise ValueError(f'{where}: a quote is not closed; a field ends with its line')
            if fields:
                yield where, [field.strip() for field in fields]


def read_lines(path: str, num_fields: int, **dialect: Any) -> Iterator[tuple[str, list[str]]]:
    """(file and line, fields) of every line that is not empty and not a comment (`#`).

    Raises:
        ValueError: a line has another number of fields, or a quote that is not closed.
    """
    for where, fields in _records(path, **dialect):
        if fields[0].startswith('#'):
            continue
        if len(fields) != num_fields:
            raise ValueError(f'{where}: must have {num_fields} fields, got {fields}')
        yield where, fields


def read_table(
    path: str, needed: Sequence[str], known: Sequence[str] | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """(file and line, fields by column) of a CSV file whose first line names its columns.

    Raises:
        ValueError: a column is missing, there twice, or not one of the `known`; a line has another
            number of fields, or a quote that is not closed.
    """
    records = _records(path)
    columns = [name.casefold() for name in next(records, ('', []))[1]]
    if missing := [name for name in needed if name not in columns]:
        raise ValueError(
            f'{path}: the first line must name the columns {", ".join(needed)}, separated by '
            f'commas; {", ".join(missing)} missing, got {columns}'
        )
    if known and (unknown := sorted(set(columns) - set(known))):
        raise ValueError(f'{path}: unknown columns {unknown}; known are {sorted(known)}')
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise ValueError(f'{path}: a column must be there once, got {", ".join(twice)} twice')
    for where, fields in records:
        if len(fields) != len(columns):
            raise ValueError(f'{where}: not {len(columns)} fields, got {fields}')
        yield where, dict(zip(columns, fields, strict=True))


def filled(text: str, name: str, where: str) -> str:
    """The text, if there is any; else raises ValueError that names file, line and field."""
    if not text:
        raise ValueError(f'{where}: {name} must be some text, got an empty field')
    return text


def note_once(seen: MutableMapping[str, str], text: str, name: str, where: str) -> None:
    """Notes where a text was seen; raises ValueError that names both places of one seen twice."""
    if (first := seen.setdefault(text, where)) != where:
        raise ValueError(f'{where}: {name} must be there once, got {text!r} as in {first}')


def seconds(text: str, name: str, where: str) -> float:
    """A time: seconds, or hours:minutes:seconds.

    Raises:
        ValueError: it is neither; names file, line and field.
    """
    try:
        value = 0.0
        for part in map(float, text.split(':')):
            value = 60 * value + (part if part >= 0 else math.nan)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf or '_' in text:
        raise ValueError(f'{where}: {name} must be seconds, got {text!r}')
    return value


def whole(text: str, name: str, where: str, below: int) -> int:
    """A whole number from 0 to `below` - 1; raises ValueError that names file, line and field."""
    if not text.isdecimal() or int(text) >= below:
        raise ValueError(f'{where}: {name} must be a whole number below {below}, got {text!r}')
    return int(text)
