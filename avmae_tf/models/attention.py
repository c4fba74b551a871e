"""Scaled dot-product attention that never holds all scores of a large model at once.

The weights of a small attention are kept for the backward pass. Those of a large one are computed
again from queries and keys, chunk by chunk, so that what is kept between the passes grows with the
number of tokens, not with its square.
Shapes: G groups (clips times heads), N tokens, K width of a head.
"""

import math

import tensorflow as tf

from avmae_tf.models.recompute import after

CHUNK_BYTES = 40 * 2**20  # scores of a chunk: more misses the cache, less starves the cores
MAX_CHUNKS = 16  # each is unrolled in the graph
KEPT_BYTES = 128 * 2**20  # of the weights of one attention: computing them again costs a quarter


def num_chunks(groups: int | None, num_tokens: int, itemsize: int) -> int:
    """Into how many equal chunks `groups` are divided; 1 where their number is not known."""
    if groups is None:
        return 1
    wanted = math.ceil(groups * num_tokens**2 * itemsize / CHUNK_BYTES)
    return min(
        (n for n in range(1, groups + 1) if groups % n == 0),
        key=lambda n: (abs(math.log(n / min(wanted, MAX_CHUNKS))), n),
    )


def _one_by_one(function, arguments, chunks: int):
    """`function` on equal chunks of all arguments, each after the one before it."""
    if chunks == 1:
        return function(*arguments)
    outputs = []
    for parts in zip(*(tf.split(x, chunks) for x in arguments), strict=True):
        if outputs:
            with tf.control_dependencies(tf.nest.flatten(outputs[-1])):
                parts = [tf.identity(part) for part in parts]
        outputs.append(function(*parts))
    return tf.nest.map_structure(lambda *x: tf.concat(x, axis=0), *outputs)


def _weights(q, k):
    return tf.nn.softmax(tf.matmul(q, k, transpose_b=True))


def _forward(q, k, v):
    return tf.matmul(_weights(q, k), v)


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
    weights = _weights(q, k)
    out = tf.matmul(weights, v)
    return out, lambda out_gradient: _gradients(weights, q, k, v, out, out_gradient)


@tf.custom_gradient
def _attend_in_chunks(q, k, v):
    chunks = num_chunks(q.shape[0], q.shape[1], q.dtype.size)
    out = _one_by_one(_forward, (q, k, v), chunks)

    def gradient(out_gradient):
        inputs = after(out_gradient, q, k, v)
        return _one_by_one(_backward, (*inputs, out, out_gradient), chunks)

    return out, gradient


def attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """softmax(q k^T) v for q, k, v [G, N, K]; q is scaled already."""
    groups, num_tokens = q.shape[:2]
    small = groups is not None and groups * num_tokens**2 * q.dtype.size <= KEPT_BYTES
    return _attend_keeping(q, k, v) if small else _attend_in_chunks(q, k, v)
