"""Eq. 1: the squared error of the patches that were reconstructed (Sec. 3.4).

Shapes: B clips, M reconstructed tokens, P values of a patch.
"""

import tensorflow as tf

from avmae_tf.config import PretrainConfig
from avmae_tf.models.avmae import Reconstruction


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


class ReconstructionLoss:
    """Eq. 1 by modality, and their weighted sum, as the settings want them."""

    def __init__(self, settings: PretrainConfig):
        self.settings = settings

    def by_modality(self, outcome: Reconstruction) -> dict[str, tf.Tensor]:
        """Eq. 1, the mean over clips, scalars."""
        return {m: tf.reduce_mean(x) for m, x in self.by_clip(outcome).items()}

    def by_clip(self, outcome: Reconstruction) -> dict[str, tf.Tensor]:
        """Eq. 1 of each clip by itself, [B] by modality."""
        return self._errors(outcome, outcome.predicted)

    def of_mean_patch(self, outcome: Reconstruction, weight: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same for the best constant patch of the clips, which count by `weight` [B]."""
        constants = {m: mean_patch(x, outcome.shares[m], weight) for m, x in outcome.target.items()}
        return self._errors(outcome, constants)

    def total(self, losses: dict[str, tf.Tensor]) -> tf.Tensor:
        """The weighted sum: 0.5 audio + 0.5 video by default (Sec. 3.4)."""
        return tf.add_n([self.settings.loss_weight(m) * x for m, x in losses.items()])

    def _errors(self, outcome: Reconstruction, predicted) -> dict[str, tf.Tensor]:
        return {
            m: reconstruction_loss(
                predicted[m],
                outcome.target[m],
                outcome.shares[m],
                mean_over_patch=self.settings.mean_over_patch,
            )
            for m in outcome.target
        }
