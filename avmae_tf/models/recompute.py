"""Computing again in the backward pass what would otherwise be kept from the forward pass."""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # nothing public tells XLA from the rest


def after(gradient: tf.Tensor, *tensors: tf.Tensor) -> list[tf.Tensor]:
    """The same tensors, but not before `gradient` is known.

    Without it the executor may compute early, and the graph optimizer merges, what is computed of
    them twice; both would keep it after all. XLA heeds values alone, so it is given a zero that it
    cannot know to be one.
    """
    if control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        first = tf.cast(tf.reshape(gradient, [-1])[0], tf.bool)
        zero = tf.where(tf.equal(first, first), 0.0, float('nan'))
        return [tensor + tf.cast(zero, tensor.dtype) for tensor in tensors]
    with tf.control_dependencies([gradient]):
        return [tf.identity(tensor) for tensor in tensors]
