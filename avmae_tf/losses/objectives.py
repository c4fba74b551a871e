"""What the decoder is given and what it has to reconstruct (Sec. 3.4).

Shapes: B clips, N tokens of one modality, M reconstructed tokens, P values of a patch.
"""

from typing import NamedTuple

import tensorflow as tf

from avmae_tf.losses.reconstruction import reconstruction_loss
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.fusion import Tokens
from avmae_tf.models.masking import Mask, gather_tokens, unshuffle


class Reconstruction(NamedTuple):
    """The outcome of an objective, by modality."""

    predicted: Tokens  # [B, M, P]
    target: Tokens  # [B, M, P]
    indices: dict[str, tf.Tensor]  # which tokens these are, [B, M]

    def losses(self) -> dict[str, tf.Tensor]:
        """Eq. 1 by modality, scalars."""
        return {m: reconstruction_loss(self.predicted[m], self.target[m]) for m in self.predicted}


def total_loss(losses: dict[str, tf.Tensor]) -> tf.Tensor:
    """Equal weights: 0.5 audio + 0.5 video (Sec. 3.4)."""
    return tf.add_n(list(losses.values())) / len(losses)


class JointReconstruction:
    """Each modality from its own visible tokens and what the encoder mixed into them."""

    def __call__(self, model: AVMAE, inputs, masks: dict[str, Mask]) -> Reconstruction:
        patches = model.patchify(inputs)
        visible = model.project(model.encode(patches, masks))
        sequences = {
            m: unshuffle(visible[m], mask, tf.cast(model.mask_tokens[m], visible[m].dtype))
            for m, mask in masks.items()
        }
        indices = {m: mask.masked for m, mask in masks.items()}
        return Reconstruction(
            predicted=model.predict_patches(model.decode(sequences), indices),
            target={m: gather_tokens(patches[m], i) for m, i in indices.items()},
            indices=indices,
        )
