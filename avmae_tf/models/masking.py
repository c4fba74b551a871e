"""Which tokens the encoder sees (Sec. 3.1: u = Mask(v; alpha)).

Shapes: B clips, N tokens, V visible, M masked, V + M = N.
"""

from typing import NamedTuple

import tensorflow as tf

from avmae_tf.models.draws import Draws, uniform


class Mask(NamedTuple):
    """Token indices of every clip; visible ones in the order in which the encoder reads them."""

    visible: tf.Tensor  # int32 [B, V]
    masked: tf.Tensor  # int32 [B, M]

    @property
    def num_tokens(self) -> int:
        """N."""
        return self.visible.shape[1] + self.masked.shape[1]


def sample_mask(
    seed: tf.Tensor | Draws, *, batch: int, num_tokens: int, num_masked: int, num_steps: int = 1
) -> Mask:
    """A permutation per clip; its first `num_masked` tokens are hidden, the others visible.

    With several steps, time being the slowest axis, one permutation of the places in a frame
    serves all of them: what is hidden are tubes [29, 76].
    """
    places, hidden = num_tokens // num_steps, num_masked // num_steps
    noise = uniform(seed, [batch, places])
    order = tf.argsort(noise, axis=1)
    starts = tf.range(num_steps)[:, None] * places

    def at_all_steps(indices):
        return tf.reshape(indices[:, None] + starts, [batch, num_steps * indices.shape[1]])

    return Mask(visible=at_all_steps(order[:, hidden:]), masked=at_all_steps(order[:, :hidden]))


def gather_tokens(tokens: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """[B, N, D] at indices [B, V] to [B, V, D]."""
    return tf.gather(tokens, indices, axis=1, batch_dims=1)


def unshuffle(visible_tokens: tf.Tensor, mask: Mask, mask_token: tf.Tensor) -> tf.Tensor:
    """z = Unshuffle(e, m): tokens [B, V, D] at their places, the mask token [D] elsewhere."""
    batch, num_masked = tf.shape(mask.masked)[0], mask.masked.shape[1]
    hidden = tf.broadcast_to(mask_token, [batch, num_masked, mask_token.shape[-1]])
    shuffled = tf.concat([visible_tokens, hidden], axis=1)
    order = tf.concat([mask.visible, mask.masked], axis=1)
    return gather_tokens(shuffled, tf.argsort(order, axis=1))
