"""Linear maps of tokens, for XLA without merging clips and tokens.

A TPU stores tokens in tiles of eight: where their number is no multiple, a reshape to [B N, D]
moves every value, in a program that took longer to compile than all else.
Shapes: B clips, N tokens, I and O widths.
"""

import tensorflow as tf
import tf_keras as keras

from avmae_tf.models.recompute import in_xla


def _apart(x: tf.Tensor) -> bool:
    return len(x.shape) == 3 and in_xla()


def product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """[..., I] and [I, O] to [..., O]."""
    return tf.einsum('bni,io->bno', x, kernel) if _apart(x) else tf.tensordot(x, kernel, 1)


def product_gradients(
    x: tf.Tensor, kernel: tf.Tensor, gradient: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of `x` and `kernel` from that of their product."""
    if _apart(x):
        upstream = tf.einsum('bno,io->bni', gradient, kernel)
        return upstream, tf.einsum('bni,bno->io', x, gradient)
    rows, columns = (tf.reshape(y, [-1, y.shape[-1]]) for y in (x, gradient))
    upstream = tf.tensordot(gradient, kernel, [[-1], [1]])
    return upstream, tf.matmul(rows, columns, transpose_a=True)


class Dense(keras.layers.Dense):
    """x kernel + bias, without an activation."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, self.compute_dtype)
        if not _apart(x):
            return super().call(x)
        return product(x, tf.cast(self.kernel, x.dtype)) + tf.cast(self.bias, x.dtype)
