"""Eq. 1: the squared error of the patches that were reconstructed.

Shapes: B clips, M reconstructed tokens, P values of a patch.
"""

import tensorflow as tf


def reconstruction_loss(predicted: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Mean squared error over B, M and P (Eq. 1, averaged over the values of a patch too)."""
    return tf.reduce_mean(tf.math.squared_difference(predicted, target))


def mean_patch_loss(target: tf.Tensor) -> tf.Tensor:
    """The loss of the best constant: what a model that learned nothing but the mean would get."""
    return reconstruction_loss(tf.reduce_mean(target, axis=[0, 1], keepdims=True), target)
