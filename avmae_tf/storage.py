"""Files on this machine or in a bucket (`gs://`, `s3://`), written whole or not at all.

All of the program meets TensorFlow's file systems here. TensorFlow is imported for buckets alone,
so that listing the clips of a data set stays light, and tensorflow-io for those that it adds.
"""

import contextlib
import ctypes
import errno
import functools
import hashlib
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, TextIO, TypeVar

import pydantic

from avmae_tf.config import Spec, first_error
from avmae_tf.config.migrations import NewerFormat

Settings = TypeVar('Settings', bound=Spec)
HASH_CHARACTERS = 16
NAME_ERRORS = 'surrogateescape'  # names of files are bytes that need not be UTF-8
# What tensorflow-io adds is S3. It has az://, too, which does not hold (0.37.1 against Azurite):
# a folder there does not exist, cannot be renamed, and a copy does not end.
SCHEMES, ADDED_SCHEMES = ('file', 'gs', 's3'), ('s3',)


def is_remote(path: str) -> bool:
    """Whether a path is an address in a bucket."""
    return '://' in str(path)


def know_addresses(text: str) -> None:
    """Makes TensorFlow know the file systems of all addresses in `text`, a path or more."""
    if any(f'{scheme}://' in str(text) for scheme in ADDED_SCHEMES):
        _add_file_systems()


@functools.cache
def _add_file_systems() -> None:
    import tensorflow_io  # noqa: F401 - registers them

    # At the end of the process a client of AWS that is destroyed logs to what was destroyed before
    # it, and aborts. Python's own end comes first; then the process ends with its exit code.
    libc = ctypes.CDLL(None)
    libc.on_exit(libc._exit, None)


def check_address(path: str) -> None:
    """Raises ValueError where there is no such file system."""
    if is_remote(path) and str(path).partition('://')[0] not in SCHEMES:
        raise ValueError(f'{path}: must be a path of this machine, gs:// or s3://')


def gfile(path: str) -> Any:
    """`tf.io.gfile`, once it knows the file system of `path`; checks that there is one."""
    check_address(path)  # before TensorFlow is imported for nothing
    import tensorflow as tf

    know_addresses(path)
    return tf.io.gfile


def path_in(file: str, path: str) -> str:
    """The absolute path that `path` is in the file `file`: a relative one is below its folder."""
    if is_remote(path):
        return path
    if is_remote(file):
        return os.path.join(os.path.dirname(file), path)
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(file)), path))


def to_bytes(text: str) -> bytes:
    """A text as UTF-8; the name of a file as the bytes that it has on the disk."""
    return text.encode('utf-8', NAME_ERRORS)


def to_unicode(name: str) -> str:
    r"""The name of a file as text that every program takes: what is no UTF-8 becomes `\xe9`."""
    return to_bytes(name).decode('utf-8', 'backslashreplace')


def open_text(path: str, errors: str = 'strict') -> TextIO:
    """The file to read, UTF-8 with or without a byte order mark.

    Raises:
        ValueError: it is not there or not to be read; it names the file.
    """
    try:
        if is_remote(path):
            with gfile(path).GFile(path, 'rb') as f:
                text = f.read().decode('utf-8-sig', errors)
            return io.StringIO(text, newline='')
        return open(path, newline='', encoding='utf-8-sig', errors=errors)
    except Exception as error:
        what = getattr(error, 'strerror', None) or getattr(error, 'message', None) or error
        raise ValueError(f'{path}: {what}') from None


def exists(path: str) -> bool:
    """Whether there is a file or folder at `path`."""
    if is_remote(path):
        return gfile(path).exists(path)
    return os.path.exists(path)


def is_folder(path: str) -> bool:
    """Whether there is a folder at `path`."""
    if is_remote(path):
        return gfile(path).isdir(path)
    return os.path.isdir(path)


def check_folder(path: str) -> None:
    """Raises ValueError where a file is in the place of the folder to write to, or above it."""
    while not (is_remote(path) or exists(path)):
        path = os.path.dirname(path) or '.'
    if exists(path) and not is_folder(path):
        raise ValueError(f'{path}: must be a folder to write to, and is a file')


def names_in(folder: str) -> list[str]:
    """What is in a folder; nothing where there is none."""
    if not is_folder(folder):
        return []
    if is_remote(folder):
        return [name.rstrip('/') for name in gfile(folder).listdir(folder)]
    return os.listdir(folder)


def folders_in(folder: str) -> list[str]:
    """Paths of the folders in a folder, in the order of their names."""
    paths = (os.path.join(folder, name) for name in sorted(names_in(folder)))
    return [path for path in paths if is_folder(path)]


def open_binary(path: str) -> BinaryIO:
    """The file to read, seekable. Raises FileNotFoundError if it is not there."""
    if not is_remote(path):
        return open(path, 'rb')
    if not exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return gfile(path).GFile(path, 'rb')


def read_settings(path: str, kind: type[Settings], remedy: str) -> Settings:
    """The JSON that this program wrote to `path`.

    Raises:
        ValueError: it is damaged or of another version; names file, field and `remedy`.
    """
    with open_binary(path) as f:
        text = f.read()
    try:
        return kind.from_json(text)
    except NewerFormat as error:
        raise ValueError(f'{path}: {error}') from None
    except ValueError as error:
        what = first_error(error) if isinstance(error, pydantic.ValidationError) else error
        raise ValueError(f'{path}: is damaged or of another version ({what}); {remedy}') from None


def short_hash(chunks: Iterable[bytes]) -> str:
    """A hash of all `chunks` as one, short enough for the name of a folder."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()[:HASH_CHARACTERS]


def fingerprint(paths: Iterable[str]) -> str:
    """A hash of what the files hold, wherever they are."""

    def contents() -> Iterator[bytes]:
        for path in paths:
            with open_binary(path) as f:
                yield f.read()

    return short_hash(contents())


@contextlib.contextmanager
def aside(path: str, folder: str | None = None) -> Iterator[str]:
    """A name to write a file or folder under that is to become `path`; what is left there goes.

    It is on this machine: in `folder` or beside `path`, or, for a bucket, in a temporary folder.
    """
    above, name = os.path.split(path.rstrip('/'))
    if is_remote(path):
        with tempfile.TemporaryDirectory() as local:
            yield os.path.join(local, name)
        return
    os.makedirs(above or '.', exist_ok=True)
    os.makedirs(folder or above or '.', exist_ok=True)
    temporary = os.path.join(folder or above, f'.{name}.{uuid.uuid4().int}.tmp')
    try:
        yield temporary
    finally:
        if os.path.isdir(temporary):
            shutil.rmtree(temporary)
        elif os.path.exists(temporary):
            os.unlink(temporary)


@contextlib.contextmanager
def replaced(path: str, folder: str | None = None) -> Iterator[str]:
    """The name of a local file to write that becomes `path` if the block ends without an error.

    It lies in `folder` until then, or beside `path`.
    """
    with aside(path, folder) as temporary:
        try:
            yield temporary
            if not is_remote(path):
                os.replace(temporary, path)
                return
        except OSError as error:
            error.filename = error.filename or path  # writing to an open file does not say which
            raise
        copy_file(temporary, path)


@contextlib.contextmanager
def written(path: str) -> Iterator[TextIO]:
    """A text file to write that appears under its name if the block ends without an error."""
    with (
        replaced(path) as name,
        open(name, 'w', newline='', encoding='utf-8', errors=NAME_ERRORS) as f,
    ):
        yield f


def write_text(path: str, text: str) -> None:
    """Writes a file whole or not at all."""
    with written(path) as f:
        f.write(text)


def copy_file(source: str, target: str) -> None:
    """Copies a file, here or there, over what is at `target`."""
    know_addresses(source)
    gfile(target).makedirs(os.path.dirname(target))
    gfile(target).copy(source, target, overwrite=True)
