"""z: what the decoder is given for each objective (Sec. 3.4, Fig. 1 and 3).

Shapes: B clips, N tokens of one modality, V visible, M reconstructed, E decoder width.
"""

import functools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from avmae_tf.config import Inpainting, JointReconstruction, Objective
from avmae_tf.models.fusion import Tokens
from avmae_tf.models.masking import Mask, unshuffle


@functools.singledispatch
def build_sequences(
    objective: Objective, given: Tokens, mask_tokens: Tokens, masks: Mapping[str, Mask]
) -> tuple[Tokens, dict[str, tf.Tensor]]:
    """Sequences [B, N, E], and the indices [B, M] of what is to be reconstructed in them.

    `given` [B, V, E] are, by the modality that is decoded, the projected visible tokens that it is
    decoded from; `mask_tokens` [E] stand for what is hidden.
    """
    raise TypeError(f'no sequences are defined for the objective {objective.kind!r}')


@build_sequences.register
def _(objective: JointReconstruction, given, mask_tokens, masks):
    """Visible tokens at their places, mask tokens at the others: z = Unshuffle(e, m)."""
    sequences = {m: unshuffle(x, masks[m], mask_tokens[m]) for m, x in given.items()}
    return sequences, {m: masks[m].masked for m in given}


@build_sequences.register
def _(objective: Inpainting, given, mask_tokens, masks):
    """[Visible tokens of the other modality; mask tokens], N long.

    The first tokens of the modality, as many as the other has visible, are never reconstructed.
    """
    sequences, indices = {}, {}
    for m, tokens in given.items():
        batch, num_given = tf.shape(tokens)[0], tokens.shape[1]
        places = np.arange(num_given, masks[m].num_tokens, dtype=np.int32)
        hidden = tf.broadcast_to(mask_tokens[m], [batch, len(places), tokens.shape[-1]])
        sequences[m] = tf.concat([tokens, hidden], axis=1)
        if m in objective.reconstructed(tuple(given)):
            indices[m] = tf.broadcast_to(places, [batch, len(places)])
    return sequences, indices
