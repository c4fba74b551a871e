"""Scaled dot-product attention that never holds all scores of a large model at once.

The weights of a small attention are kept for the backward pass. Those of a large one are computed
again from queries and keys, chunk by chunk, so that what is kept between the passes grows with the
number of tokens, not with its square.
Shapes: G groups (clips times heads), N tokens, K width of a head.
"""

import math

import tensorflow as tf

from avmae_tf.models.loops import mapped
from avmae_tf.models.recompute import after, keep

CHUNK_BYTES = 40 * 2**20  # scores of a chunk: more misses the cache, less starves the cores
KEPT_BYTES = 128 * 2**20  # of the weights of one attention: computing them again costs a quarter


def num_chunks(groups: int, num_tokens: int, itemsize: int) -> int:
    """Into how many equal chunks `groups` are divided."""
    wanted = math.ceil(groups * num_tokens**2 * itemsize / CHUNK_BYTES)
    return min(
        (n for n in range(1, groups + 1) if groups % n == 0),
        key=lambda n: (abs(math.log(n / wanted)), n),
    )


def _one_by_one(function, arguments, num_outputs: int):
    """`function` on equal chunks of all arguments [G, N, K], each after the one before it.

    Groups whose number is not known are taken one at a time.
    """
    groups, *rest = arguments[0].shape
    size = groups and groups // num_chunks(groups, rest[0], arguments[0].dtype.size)
    if groups and size == groups:
        return function(*arguments)
    spec = tf.TensorSpec([size or 1, *rest], arguments[0].dtype)
    chunks = tuple(tf.reshape(x, [-1, *spec.shape]) for x in arguments)
    outputs = mapped(lambda chunk: function(*chunk), chunks, (spec,) * num_outputs)
    return [tf.ensure_shape(tf.reshape(x, [-1, *rest]), [groups, *rest]) for x in outputs]


def _weights(q, k):
    return tf.nn.softmax(tf.matmul(q, k, transpose_b=True))


def _forward(q, k, v):
    return (tf.matmul(_weights(q, k), v),)


def _backward(q, k, v, out, out_gradient):
    return _gradients(_weights(q, k), q, k, v, out, out_gradient)


def _gradients(weights, q, k, v, out, out_gradient):
    """Gradients of q, k, v; sum(dP P) over keys is sum(dO O) over channels."""
    row_sums = tf.reduce_sum(out_gradient * out, axis=-1, keepdims=True)
    scores_gradient = weights * (tf.matmul(out_gradient, v, transpose_b=True) - row_sums)
    return (
        tf.matmul(scores_gradient, k),
        tf.matmul(scores_gradient, q, transpose_a=True),
        tf.matmul(weights, out_gradient, transpose_a=True),
    )


@tf.custom_gradient
def _attend_keeping(q, k, v):
    weights = keep(_weights(q, k))
    out = keep(tf.matmul(weights, v))
    return out, lambda out_gradient: _gradients(weights, q, k, v, out, out_gradient)


@tf.custom_gradient
def _attend_in_chunks(q, k, v):
    (out,) = _one_by_one(_forward, (q, k, v), 1)
    out = keep(out)

    def gradient(out_gradient):
        inputs = after(out_gradient, q, k, v)
        return _one_by_one(_backward, (*inputs, out, out_gradient), 3)

    return out, gradient


def attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """softmax(q k^T) v for q, k, v [G, N, K]; q is scaled already."""
    groups, num_tokens = q.shape[:2]
    small = groups is not None and groups * num_tokens**2 * q.dtype.size <= KEPT_BYTES
    return _attend_keeping(q, k, v) if small else _attend_in_chunks(q, k, v)
