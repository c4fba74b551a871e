"""Computing again in the backward pass what would otherwise be kept from the forward pass."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # nothing public tells XLA from the rest

_keeper = contextvars.ContextVar[Callable[[tf.Tensor], tf.Tensor] | None]('keeper', default=None)


def in_xla() -> bool:
    """Whether what is traced now will be compiled by XLA."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def after(gradient: tf.Tensor, *tensors: tf.Tensor) -> list[tf.Tensor]:
    """The same tensors, but not before `gradient` is known.

    Without it the executor may compute early, and the graph optimizer merges, what is computed of
    them twice; both would keep it after all. XLA heeds values alone, so it is given a zero that it
    cannot know to be one.
    """
    if in_xla():
        first = tf.cast(tf.reshape(gradient, [-1])[0], tf.bool)
        zero = tf.where(tf.equal(first, first), 0.0, float('nan'))
        return [tensor + tf.cast(zero, tensor.dtype) for tensor in tensors]
    with tf.control_dependencies([gradient]):
        return [tf.identity(tensor) for tensor in tensors]


def keep(tensor: tf.Tensor) -> tf.Tensor:
    """The same tensor, which is dear: it is kept where a loop computes its layers again.

    Elsewhere TensorFlow keeps what it needs, and this does nothing.
    """
    keeper = _keeper.get()
    return tensor if keeper is None else keeper(tensor)


@contextlib.contextmanager
def _keeping(keeper: Callable[[tf.Tensor], tf.Tensor]) -> Iterator[None]:
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)


@contextlib.contextmanager
def recording() -> Iterator[list[tf.Tensor]]:
    """What is kept inside, in order."""
    kept: list[tf.Tensor] = []

    def record(tensor):
        kept.append(tensor)
        return tensor

    with _keeping(record):
        yield kept


@contextlib.contextmanager
def recalling(kept: list[tf.Tensor]) -> Iterator[None]:
    """The same computation again with what was recorded: what led to it is never computed.

    Its gradient goes on to what it is computed of.
    """
    rest = iter(kept)

    def recall(tensor):
        @tf.custom_gradient
        def recalled(_):
            return tf.identity(next(rest)), lambda gradient: gradient

        return recalled(tensor)

    with _keeping(recall):
        yield
