"""Eq. 1: the squared error of the patches that were reconstructed (Sec. 3.4).

Shapes: B clips, M reconstructed tokens, P values of a patch.
"""

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import PretrainConfig
from avmae_tf.models.avmae import Reconstruction

MEAN_PATCH = 'mean_patch_loss'


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


class MeanPatchLoss(keras.metrics.Metric):
    """The least loss that a constant patch can have on all clips: E s - |E v|^2.

    That is what a model predicts that learned nothing but the mean. It is a function of sums over
    clips, `mean_patch_moments` [B, 1 + K], whatever batches and replicas they come in.
    """

    def __init__(self, name: str, size: int):
        super().__init__(name)
        self.moments = self.add_weight('moments', shape=[size], initializer='zeros')
        self.weight = self.add_weight('weight', initializer='zeros')

    def update_state(self, moments: tf.Tensor, sample_weight: tf.Tensor) -> None:
        """Adds clips [B, 1 + K] that count by their weights [B]."""
        self.moments.assign_add(tf.linalg.matvec(moments, sample_weight, transpose_a=True))
        self.weight.assign_add(tf.reduce_sum(sample_weight))

    def reset_state(self) -> None:
        for variable in (self.moments, self.weight):
            variable.assign(tf.zeros_like(variable))

    def result(self) -> tf.Tensor:
        """The loss, a scalar."""
        mean = tf.math.divide_no_nan(self.moments, self.weight)
        return mean[0] - tf.reduce_sum(tf.square(mean[1:]))


class ReconstructionLoss:
    """Eq. 1 by modality, and their weighted sum, as the settings want them."""

    def __init__(self, settings: PretrainConfig):
        self.settings = settings

    def by_modality(self, outcome: Reconstruction) -> dict[str, tf.Tensor]:
        """Eq. 1, the mean over clips, scalars."""
        return {m: tf.reduce_mean(x) for m, x in self.by_clip(outcome).items()}

    def by_clip(self, outcome: Reconstruction) -> dict[str, tf.Tensor]:
        """Eq. 1 of each clip by itself, [B] by modality."""
        return {
            m: reconstruction_loss(
                outcome.predicted[m],
                target,
                outcome.shares[m],
                mean_over_patch=self.settings.mean_over_patch,
            )
            for m, target in outcome.target.items()
        }

    def mean_patch_metrics(self) -> dict[str, MeanPatchLoss]:
        """A metric for each of `mean_patch_moments`."""
        values = {m: self.settings.inputs(m).patch_values for m in self.settings.reconstructed}
        sizes = {MEAN_PATCH: sum(values.values())}
        sizes |= {f'{MEAN_PATCH}_{m}': n for m, n in values.items()}
        return {name: MeanPatchLoss(name, 1 + n) for name, n in sizes.items()}

    def mean_patch_moments(self, outcome: Reconstruction) -> dict[str, tf.Tensor]:
        """Of each clip what `MeanPatchLoss` adds up: s and v, [B, 1 + K], of all and by modality.

        Eq. 1 of a constant patch c is s - 2 c'.v + |c'|^2, where c' is c times a factor. Of the
        weighted sum of modalities, squares are added and levels stand side by side.
        """
        moments = {m: self._moments(x, outcome.shares[m]) for m, x in outcome.target.items()}
        square = self.total({m: x[:, :1] for m, x in moments.items()})
        levels = [self.settings.loss_weight(m) ** 0.5 * x[:, 1:] for m, x in moments.items()]
        of_all = {MEAN_PATCH: tf.concat([square, *levels], axis=1)}
        return of_all | {f'{MEAN_PATCH}_{m}': x for m, x in moments.items()}

    def _moments(self, target: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
        factor = 1 / target.shape[-1] if self.settings.mean_over_patch else 1.0
        square = factor * tf.einsum('bmp,m->b', tf.square(target), shares)
        level = tf.einsum('bmp,m->bp', target, shares)
        level *= tf.sqrt(tf.math.divide_no_nan(factor, tf.reduce_sum(shares)))
        return tf.concat([square[:, None], level], axis=1)

    def scalars(self, losses: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """'loss', the weighted sum, and 'loss_M' of each modality, as they are logged."""
        return {'loss': self.total(losses), **{f'loss_{m}': x for m, x in losses.items()}}

    def total(self, losses: dict[str, tf.Tensor]) -> tf.Tensor:
        """The weighted sum: 0.5 audio + 0.5 video by default (Sec. 3.4)."""
        return tf.add_n([self.settings.loss_weight(m) * x for m, x in losses.items()])
