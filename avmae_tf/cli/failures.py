"""Errors as one line for the user, with cause, path and remedy; and the exit code.

A refusal of ours is a `raise` in our own packages, and its message is for the user. An error of
a library below us is never bad input: it is said to be what it is.
"""

import errno
import os
import re
import sys
from dis import opmap

from avmae_tf.console import NOISE, Failed

EXIT_FAILED, EXIT_BAD_INPUT = 1, 2
PACKAGES = ('avmae_tf', 'beam_jobs', 'components', 'pipeline')
DEBUG = 'AVMAE_DEBUG'  # environment variable: show tracebacks
AGAIN = 'then run the same command again: what is done is kept'
ANOTHER = 'give another path'
REMEDIES = {  # what the operating system says: what helps
    errno.ENOSPC: f'free some space, {AGAIN}',
    errno.EDQUOT: f'free some of your quota, {AGAIN}',
    errno.EFBIG: f'raise the limit of the size of files (ulimit -f), {AGAIN}',
    errno.EMFILE: f'raise the limit of open files (ulimit -n), {AGAIN}',
    errno.ENFILE: f'close some programs, {AGAIN}',
    errno.ENOMEM: f'close some programs, {AGAIN}',
    errno.EIO: f'look after the disk or the network, {AGAIN}',
    errno.EROFS: ANOTHER,
    errno.EACCES: ANOTHER,
    errno.EPERM: ANOTHER,
    errno.ENOENT: ANOTHER,
    errno.EEXIST: ANOTHER,
    errno.EISDIR: ANOTHER,
    errno.ENOTDIR: ANOTHER,
    errno.ENOTEMPTY: ANOTHER,
    errno.ENAMETOOLONG: ANOTHER,
    errno.ELOOP: ANOTHER,
}
_NUMBERS = {os.strerror(number): number for number in REMEDIES} | {
    'database or disk is full': errno.ENOSPC,
    'disk I/O error': errno.EIO,
    'attempt to write a readonly database': errno.EROFS,
}
_CAUSE = re.compile(
    r'(?:(?:^|\s)(?P<before>[^\s;][^;]*); )?'  # TensorFlow: path; cause
    rf'(?P<cause>{"|".join(map(re.escape, _NUMBERS))})'
    r"(?:: '(?P<after>.*?)')?"  # Python: cause: 'path'
)
_LAST_ERROR = re.compile(r'^\s*(?P<kind>[A-Za-z_][\w.]*(?:Error|Exception)): (?P<text>.*)', re.M)
_STEP = re.compile(r" \[while running '.*'\]")  # Beam's
_RAISE = opmap['RAISE_VARARGS']


def explain(error: Exception) -> tuple[str, int]:
    """The line for the user, and the exit code."""
    if isinstance(error, Failed):
        return str(error), error.exit_code
    if hasattr(error, 'errors') and isinstance(error, ValueError):  # pydantic's
        from avmae_tf.config import first_error

        return first_error(error), EXIT_BAD_INPUT
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return _of_system(error.errno, error.strerror, error.filename)
    text = str(error).strip() or type(error).__name__
    if _is_ours(error):
        return text, EXIT_BAD_INPUT if isinstance(error, ValueError) else EXIT_FAILED
    kind, text = _innermost(type(error).__name__, text)
    if found := _CAUSE.search(text):
        path = found['before'] or found['after']
        return _of_system(_NUMBERS[found['cause']], found['cause'], path)
    verb = next((word for word in sys.argv[1:] if not word.startswith('-')), '')
    where = f'in {_library(error)}, while running `avmae {verb}`'
    return f'{kind}: {text} ({where}; {DEBUG}=1 shows where)', EXIT_FAILED


def _of_system(number: int, cause: str, path: str | None) -> tuple[str, int]:
    remedy = REMEDIES[number]
    name = f'{os.fsdecode(path)}: ' if path else ''
    return f'{name}{cause}; {remedy}', EXIT_BAD_INPUT if remedy == ANOTHER else EXIT_FAILED


def _innermost(kind: str, text: str) -> tuple[str, str]:
    """Kind and message of the error that a worker's traceback, told as text, ends with."""
    for told in [*_LAST_ERROR.finditer(text)][-1:]:
        while told:  # 'RuntimeError: OSError: ...'
            kind, text = told['kind'].rpartition('.')[-1], text[told.start('text') :]
            told = _LAST_ERROR.match(text)
    text = _STEP.sub('', NOISE.sub('', text))
    return kind, next((line.strip() for line in text.splitlines() if line.strip()), '')


def _innermost_frame(error: Exception):
    """Where it was raised: (frame, index of the instruction)."""
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    return last.tb_frame, last.tb_lasti


def _is_ours(error: Exception) -> bool:
    """Whether it was raised by a `raise` statement of our packages, on purpose."""
    if isinstance(error, AssertionError) or not error.__traceback__:
        return False
    frame, instruction = _innermost_frame(error)
    return frame.f_code.co_code[instruction] == _RAISE and _package(frame) in PACKAGES


def _package(frame) -> str:
    return frame.f_globals.get('__name__', '').partition('.')[0]


def _library(error: Exception) -> str:
    """What raised it: the package of the innermost frame."""
    if not error.__traceback__:
        return 'a library'
    frame, _ = _innermost_frame(error)
    package = _package(frame)  # compiled code has no frame of its own
    return f'what {frame.f_globals["__name__"]} calls' if package in PACKAGES else package
