"""Locks on folders: a second process that would work in one is refused, and told who holds it.

The lock is the operating system's, on a file in the folder: a process that dies frees it. Beside
it lies a note that says who the holder is. Folders in buckets have no locks: start one run at a
time there.
"""

import contextlib
import datetime
import errno
import functools
import inspect
import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import filelock

from avmae_tf import console
from avmae_tf.storage import check_folder, is_remote

Given = ParamSpec('Given')
Result = TypeVar('Result')
LOCK_FILE = '.lock'
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)  # of a network file system


class Held(console.Failed):
    """Another process works in the folder."""


@contextlib.contextmanager
def held(folder: str, *, beside: bool = False, seconds: float = 0.0) -> Iterator[None]:
    """Keeps other processes out of `folder` as long as the block lasts; waits `seconds` for it.

    The same process may hold a folder several times. `beside` puts the lock next to a folder that
    must not be there yet.

    Raises:
        Held: another process holds it; says which, since when, and what to do.
        ValueError: a file is in the place of the folder.
    """
    if is_remote(folder):
        yield
        return
    check_folder(os.path.dirname(os.path.abspath(folder)) if beside else folder)
    path = os.path.realpath(folder)
    missing = _missing(os.path.dirname(path) if beside else path)
    path = f'{path}{LOCK_FILE}' if beside else os.path.join(path, LOCK_FILE)
    lock, note = filelock.FileLock(path, thread_local=False, is_singleton=True), f'{path}.json'
    try:
        lock.acquire(seconds, poll_interval=0.1)
    except filelock.Timeout:
        raise Held(_refusal(folder, path, note)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        console.say(f'{folder}: its file system has no locks; start no second run there')
        yield
        return
    try:
        if lock.lock_counter == 1:
            with contextlib.suppress(OSError), open(note, 'w') as f:
                json.dump(_ourselves(), f)
        yield
    finally:
        if lock.lock_counter == 1:
            with contextlib.suppress(OSError):
                os.unlink(note)
        lock.release()
        for empty in missing:  # a refusal leaves no folder behind
            with contextlib.suppress(OSError):
                os.rmdir(empty)


def holds(argument: str) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Decorates a function that works in a folder, its `argument`, which it then holds.

    The argument is a path, or has one as its `path`.
    """

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def holding(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            folder = signature.bind(*args, **kwargs).arguments[argument]
            with held(getattr(folder, 'path', folder)):
                return function(*args, **kwargs)

        return holding

    return decorate


def _missing(folder: str) -> list[str]:
    """The folder and those above it that are not there yet, the innermost first."""
    missing = []
    while not os.path.exists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _ourselves() -> dict:
    command = shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
    since = datetime.datetime.now().astimezone().isoformat(' ', 'seconds')
    return {'pid': os.getpid(), 'host': socket.gethostname(), 'since': since, 'command': command}


def _refusal(folder: str, path: str, note: str) -> str:
    holder = 'another process'
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError), open(note) as f:
        found = json.load(f)
        holder = (
            f'process {found["pid"]} on {found["host"]} since {found["since"]}: '
            f'{found["command"]!r}'
        )
    return (
        f'{folder}: in use by {holder}; wait for it, stop it, or give another folder. A process '
        f'that died frees it by itself; if none is left on any machine, delete {path}'
    )
