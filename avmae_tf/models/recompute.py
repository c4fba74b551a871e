"""Computing again in the backward pass what would otherwise be kept from the forward pass."""

import tensorflow as tf


def after(gradient: tf.Tensor, *tensors: tf.Tensor) -> list[tf.Tensor]:
    """The same tensors, but not before `gradient` is known.

    Without it the executor may compute early, and the graph optimizer merges, what is computed of
    them twice; both would keep it after all.
    """
    with tf.control_dependencies([gradient]):
        return [tf.identity(tensor) for tensor in tensors]
