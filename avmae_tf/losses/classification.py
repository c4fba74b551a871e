"""Losses of the downstream classifiers, and the scores that they stand for.

Shapes: B clips, S segments where there are any, C classes of one head.
"""

from collections.abc import Mapping
from typing import Any, Literal

import tensorflow as tf

Loss = Literal['softmax', 'sigmoid']


def smooth_labels(targets: tf.Tensor, smoothing: float) -> tf.Tensor:
    """y (1 - s) + s / C for target distributions [..., C]."""
    return targets * (1.0 - smoothing) + smoothing / targets.shape[-1]


def classification_loss(kind: Loss, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each clip [B]; the mean over segments where there are any.

    'softmax': one class is right. 'sigmoid': any number is; the sum over classes.
    """
    if kind == 'softmax':
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    else:
        losses = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=-1)
    return per_clip(losses)


def loss_over_heads(
    kind: Loss,
    logits: Mapping[Any, tf.Tensor],
    targets: Mapping[Any, tf.Tensor],
    smoothing: float = 0.0,
) -> tf.Tensor:
    """Mean over heads of each clip's loss [B]; logits and targets [B, (S,) C] are by head."""
    losses = [
        classification_loss(kind, x, smooth_labels(targets[head], smoothing))
        for head, x in logits.items()
    ]
    return tf.add_n(losses) / len(losses)


def class_scores(kind: Loss, logits: tf.Tensor) -> tf.Tensor:
    """Probabilities [..., C]: of the one right class, or of each class by itself."""
    return tf.nn.softmax(logits) if kind == 'softmax' else tf.sigmoid(logits)


def joint_probabilities(noun_logits: tf.Tensor, verb_logits: tf.Tensor) -> tf.Tensor:
    """Actions [B, nouns x verbs], noun slowest: the outer product of both softmaxes."""
    pairs = tf.nn.softmax(noun_logits)[:, :, None] * tf.nn.softmax(verb_logits)[:, None, :]
    return tf.reshape(pairs, [-1, pairs.shape[1] * pairs.shape[2]])


def hits(logits: tf.Tensor, targets: tf.Tensor, k: int = 1) -> tf.Tensor:
    """Share of segments, 0 or 1 without segments, with a right class among the top k [B]."""
    best = tf.math.top_k(logits, min(k, logits.shape[-1])).indices
    right = tf.gather(targets, best, axis=-1, batch_dims=len(targets.shape) - 1)
    return per_clip(tf.cast(tf.reduce_any(right > 0.0, axis=-1), tf.float32))


def per_clip(values: tf.Tensor) -> tf.Tensor:
    """[B] or [B, S] to [B]."""
    return tf.reduce_mean(values, axis=-1) if len(values.shape) > 1 else values
