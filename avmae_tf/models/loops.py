"""Loops of which XLA knows how often they run: one counter, from 0 up to a number."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Arrays = list[tf.TensorArray]


def run(body: Callable[..., tuple], state: tuple, count: int | tf.Tensor) -> tuple:
    """`state = body(i, *state)` for i = 0 to `count` - 1, one after the other."""
    _, *state = tf.while_loop(
        lambda i, *_: i < count,
        lambda i, *state: (i + 1, *body(i, *state)),
        (tf.constant(0), *state),
        parallel_iterations=1,
    )
    return tuple(state)


def arrays(tensors: Sequence[tf.Tensor]) -> Arrays:
    """The rows of each of [n, ...]."""
    return [
        tf.TensorArray(x.dtype, size=num_rows(x), element_shape=x.shape[1:]).unstack(x)
        for x in tensors
    ]


def num_rows(x: tf.Tensor) -> int | tf.Tensor:
    """n of [n, ...]."""
    return tf.shape(x)[0] if x.shape[0] is None else x.shape[0]


def blank(count: int | tf.Tensor, specs: Sequence[Any]) -> Arrays:
    """Room for `count` tensors like each of `specs`."""
    return [tf.TensorArray(x.dtype, size=count, element_shape=x.shape) for x in specs]


def read(rows: Arrays, i: tf.Tensor) -> list[tf.Tensor]:
    """Row `i` of each."""
    return [array.read(i) for array in rows]


def write(rows: Arrays, i: tf.Tensor, tensors: Sequence[tf.Tensor]) -> Arrays:
    """The same with row `i` written."""
    return [array.write(i, x) for array, x in zip(rows, tensors, strict=True)]


def stacked(rows: Arrays) -> list[tf.Tensor]:
    """[n, ...] of each."""
    return [array.stack() for array in rows]


def mapped(function: Callable[[Any], Any], elements: Any, specs: Any) -> Any:
    """`function` of each of `elements` [n, ...], a structure like `specs`; one after the other.

    `tf.map_fn` has two counters, and takes several at a time.
    """
    flat = tf.nest.flatten(elements)
    rows, count = arrays(flat), num_rows(flat[0])

    def body(i, done):
        outputs = function(tf.nest.pack_sequence_as(elements, read(rows, i)))
        return (write(done, i, tf.nest.flatten(outputs)),)

    (done,) = run(body, (blank(count, tf.nest.flatten(specs)),), count)
    return tf.nest.pack_sequence_as(specs, stacked(done))
