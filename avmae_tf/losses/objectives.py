"""What the decoder is given and what it has to reconstruct (Sec. 3.4).

Shapes: B clips, N tokens of one modality, V visible, M reconstructed, P values of a patch,
E decoder width.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from avmae_tf import config
from avmae_tf.config import COUPLING, PretrainConfig, other_modality
from avmae_tf.losses.reconstruction import mean_patch, reconstruction_loss
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.fusion import Tokens
from avmae_tf.models.masking import Mask, gather_tokens, unshuffle
from avmae_tf.models.patches import standardise


class Reconstruction(NamedTuple):
    """The outcome of an objective, by modality."""

    predicted: Tokens  # [B, M, P]
    target: Tokens  # [B, M, P], standardised if the settings say so
    indices: dict[str, tf.Tensor]  # which tokens these are, [B, M]
    shares: dict[str, tf.Tensor]  # of each token in the loss, [M]


def equal_shares(indices: tf.Tensor) -> tf.Tensor:
    """1 / M for each of the M tokens."""
    return tf.fill([indices.shape[1]], 1.0 / max(indices.shape[1], 1))


class Objective:
    """What is reconstructed from which sequences, and Eq. 1 as the settings want it."""

    def __init__(self, settings: PretrainConfig):
        self.settings = settings

    def __call__(self, model: AVMAE, inputs, masks: dict[str, Mask]) -> Reconstruction:
        patches = model.patchify(inputs)
        return self.reconstruct(model, patches, model.encode(patches, masks), masks)

    def reconstruct(self, model: AVMAE, patches: Tokens, encoded: Tokens, masks) -> Reconstruction:
        """From the encoded visible tokens [B, V, D]."""
        sequences, indices = self.sequences(model, encoded, masks)
        predicted = model.predict_patches(model.decode(sequences), indices)
        target = {m: gather_tokens(patches[m], i) for m, i in indices.items()}
        if self.settings.standardise_targets:
            target = {m: standardise(x) for m, x in target.items()}
        shares = {m: equal_shares(i) for m, i in indices.items()}
        return Reconstruction(predicted, target, indices, shares)

    def sequences(self, model: AVMAE, encoded: Tokens, masks) -> tuple[Tokens, Tokens]:
        """What is decoded [B, N, E], and the indices of what is to be reconstructed [B, M]."""
        raise NotImplementedError

    def losses(self, outcome: Reconstruction) -> dict[str, tf.Tensor]:
        """Eq. 1 by modality, scalars."""
        return {m: tf.reduce_mean(x) for m, x in self.clip_losses(outcome).items()}

    def clip_losses(self, outcome: Reconstruction) -> dict[str, tf.Tensor]:
        """Eq. 1 of each clip by itself, [B] by modality."""
        return self._losses(outcome, outcome.predicted)

    def mean_patch_losses(self, outcome: Reconstruction, weight) -> dict[str, tf.Tensor]:
        """The same for the best constant patch of the clips, which count by `weight` [B]."""
        constants = {m: mean_patch(x, outcome.shares[m], weight) for m, x in outcome.target.items()}
        return self._losses(outcome, constants)

    def _losses(self, outcome, predicted):
        return {
            m: reconstruction_loss(
                predicted[m],
                outcome.target[m],
                outcome.shares[m],
                mean_over_patch=self.settings.mean_over_patch,
            )
            for m in outcome.target
        }

    def total(self, losses: dict[str, tf.Tensor]) -> tf.Tensor:
        """The weighted sum: 0.5 audio + 0.5 video by default (Sec. 3.4)."""
        return tf.add_n([self.settings.loss_weight(m) * x for m, x in losses.items()])


class JointReconstruction(Objective):
    """Each modality from its own visible tokens and what the encoder mixed into them."""

    def sequences(self, model, encoded, masks):
        visible = model.project(encoded)
        sequences = {
            m: unshuffle(visible[m], mask, tf.cast(model.mask_tokens[m], visible[m].dtype))
            for m, mask in masks.items()
        }
        return sequences, {m: mask.masked for m, mask in masks.items()}


class Inpainting(Objective):
    """A modality from the visible tokens of the other one: [these; mask tokens], N long (Fig. 3).

    The first tokens of the modality, as many as the other has visible, are never reconstructed.
    """

    def __init__(self, settings: PretrainConfig, reconstructed: tuple[str, ...]):
        super().__init__(settings)
        self.reconstructed = reconstructed
        coupled = isinstance(settings.decoder.fusion, COUPLING)
        self.decoded = settings.modalities if coupled else reconstructed

    def sequences(self, model, encoded, masks):
        given = model.project({other_modality(m): encoded[other_modality(m)] for m in self.decoded})
        sequences, indices = {}, {}
        for m in self.decoded:
            tokens = given[other_modality(m)]
            batch, num_given = tf.shape(tokens)[0], tokens.shape[1]
            places = np.arange(num_given, self.settings.inputs(m).num_tokens, dtype=np.int32)
            mask_token = tf.cast(model.mask_tokens[m], tokens.dtype)
            hidden = tf.broadcast_to(mask_token, [batch, len(places), tokens.shape[-1]])
            sequences[m] = tf.concat([tokens, hidden], axis=1)
            if m in self.reconstructed:
                indices[m] = tf.broadcast_to(places, [batch, len(places)])
        return sequences, indices


class Mixture(Objective):
    """Both at once, from one pass of the encoder; the tokens of inpainting share `weight`."""

    def __init__(self, settings: PretrainConfig, spec: config.Mixture):
        super().__init__(settings)
        self.weight = spec.weight
        self.joint = JointReconstruction(settings)
        self.inpainting = Inpainting(settings, spec.inpainting.reconstructed)

    def reconstruct(self, model, patches, encoded, masks):
        inpainted = self.inpainting.reconstruct(model, patches, encoded, masks)
        joint = self.joint.reconstruct(model, patches, encoded, masks)

        def both(first, second, axis):
            parts = {m: [first[m], x] if m in first else [x] for m, x in second.items()}
            return {m: tf.concat(part, axis) for m, part in parts.items()}

        def weighted(shares, weight):
            return {m: weight * x for m, x in shares.items()}

        return Reconstruction(
            predicted=both(inpainted.predicted, joint.predicted, axis=1),
            target=both(inpainted.target, joint.target, axis=1),
            indices=both(inpainted.indices, joint.indices, axis=1),
            shares=both(
                weighted(inpainted.shares, self.weight),
                weighted(joint.shares, 1 - self.weight),
                axis=0,
            ),
        )


def build_objective(settings: PretrainConfig) -> Objective:
    """The objective that the settings name."""
    match settings.objective:
        case config.JointReconstruction():
            return JointReconstruction(settings)
        case config.Inpainting(reconstructed=reconstructed):
            return Inpainting(settings, reconstructed)
        case config.Mixture() as spec:
            return Mixture(settings, spec)
