"""Turns what TensorFlow says of damaged files into refusals that name the file."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
from google.protobuf.message import DecodeError

# The readers of TensorFlow translate some of their statuses to errors of Python.
DAMAGED = (OSError, ValueError, LookupError, RuntimeError, DecodeError, tf.errors.OpError)
OTHER = (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError)  # say what they are


@contextlib.contextmanager
def reading(path: str, remedy: str) -> Iterator[None]:
    """Turns errors of a library that reads `path` inside the block into one refusal.

    Raises:
        ValueError: it is damaged; names `path`, what was said, and `remedy`.
    """
    try:
        yield
    except OTHER:
        raise
    except DAMAGED as error:
        said = str(error).strip().partition('\n')[0]
        raise ValueError(f'{path}: is damaged ({said}); {remedy}') from error
