"""Losses of the downstream classifiers.

Shapes: B clips, C classes.
"""

import tensorflow as tf


def smooth_labels(targets: tf.Tensor, smoothing: float) -> tf.Tensor:
    """y (1 - s) + s / C for target distributions [B, C]."""
    return targets * (1.0 - smoothing) + smoothing / targets.shape[-1]


def softmax_loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each clip [B]."""
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
