"""Eq. 1: the squared error of the patches that were reconstructed.

Shapes: B clips, M reconstructed tokens, P values of a patch.
"""

import tensorflow as tf


def reconstruction_loss(
    predicted: tf.Tensor, target: tf.Tensor, shares: tf.Tensor, *, mean_over_patch: bool = True
) -> tf.Tensor:
    """Squared error [B, M, P] of each clip [B], weighted by the `shares` [M] of the tokens.

    Equal shares 1 / M make it Eq. 1. The paper sums over the values of a patch; the authors'
    code, and this by default, takes their mean.
    """
    errors = tf.reduce_mean(tf.math.squared_difference(predicted, target), axis=2)
    loss = tf.reduce_sum(shares * errors, axis=1)
    return loss if mean_over_patch else loss * target.shape[-1]


def mean_patch(target: tf.Tensor, shares: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """The best constant patch [P]: what a model predicts that learned nothing but the mean.

    Clips count by their `weight` [B].
    """
    by_clip = tf.einsum('bmp,m->bp', target, shares / tf.reduce_sum(shares))
    return tf.linalg.matvec(by_clip, tf.math.divide_no_nan(weight, tf.reduce_sum(weight)),
                            transpose_a=True)  # fmt: skip
