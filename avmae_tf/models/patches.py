"""Inputs to tokens and back: one definition of grid order for tokens and for targets (Sec. 3.1).

Shapes: B clips, N tokens, P values of a patch, D width.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import PatchGrid
from avmae_tf.models.dense import Dense

STANDARDISE_EPSILON = 1e-6


def patchify(inputs: tf.Tensor, grid: PatchGrid) -> tf.Tensor:
    """[B, *input_shape] to [B, N, P]; the first axis is the slowest, in tokens and in values.

    Video tokens come in the order t, y, x with values (frame, row, column, channel); spectrogram
    tokens in the order time, mel with values (time, mel). Bytes stay bytes, for `to_values`.
    """
    split, rank = [], len(grid.grid)
    # The channels go with the last axis: by themselves a TPU would pad each three of them to 128.
    extents = [*grid.patch_shape[: rank - 1], grid.patch_shape[rank - 1] * grid.patch_shape[rank]]
    for cells, extent in zip(grid.grid, extents, strict=True):
        split += [cells, extent]
    cells_first = [0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2)]
    x = tf.transpose(tf.reshape(inputs, [-1, *split]), cells_first)
    return tf.reshape(x, [-1, grid.num_tokens, grid.patch_values])


def unpatchify(patches: tf.Tensor, grid: PatchGrid) -> tf.Tensor:
    """[B, N, P] to [B, *input_shape]: the inverse of `patchify`."""
    rank = len(grid.grid)
    x = tf.reshape(patches, [-1, *grid.grid, *grid.patch_shape])
    interleaved = [0]
    for axis in range(1, rank + 1):
        interleaved += [axis, axis + rank]
    x = tf.transpose(x, [*interleaved, 2 * rank + 1])
    return tf.reshape(x, [-1, *grid.input_shape])


def to_values(x: tf.Tensor) -> tf.Tensor:
    """Bytes of frames to float32 in [-1, 1]; what is floats already is what it is.

    Taken of the patches that are needed, so that no frame is ever held in floats.
    """
    return tf.cast(x, tf.float32) * (2.0 / 255.0) - 1.0 if x.dtype == tf.uint8 else x


def _scale(patches: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Patches without their mean, and their deviation, sqrt(variance + 1e-6), biased.

    Differences to the first value make a constant patch zero, not rounding noise times 1000.
    """
    centred = patches - patches[..., :1]
    centred -= tf.reduce_mean(centred, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    return centred, tf.sqrt(variance + STANDARDISE_EPSILON)


def standardise(patches: tf.Tensor) -> tf.Tensor:
    """(x - mean) / sqrt(variance + 1e-6) over the values P of each patch [B, N, P]."""
    centred, deviation = _scale(patches)
    return centred / deviation


def unstandardise(values: tf.Tensor, patches: tf.Tensor) -> tf.Tensor:
    """Values [B, N, P] in the units of the patches whose standardised values they stand for."""
    centred, deviation = _scale(patches)
    return values * deviation + (patches - centred)


def sinusoid(num_positions: int, width: int) -> np.ndarray:
    """Fixed 1-D table [N, D] over the flattened token index: sine on even, cosine on odd channels.

    Channel 2i and 2i + 1 turn with the frequency 10000^(-2i / D). A longer input uses a longer
    table, so nothing is ever interpolated.
    """
    frequency = np.exp(-np.log(10_000.0) * np.arange(0, width, 2) / width)
    angle = np.arange(num_positions)[:, None] * frequency
    table = np.zeros([num_positions, width])
    table[:, 0::2] = np.sin(angle)
    table[:, 1::2] = np.cos(angle[:, : width // 2])
    return table.astype(np.float32)


class PatchEmbedding(keras.layers.Layer):
    """Tokenise(x) + p for the patches of one modality (Sec. 3.1).

    A convolution whose stride is its kernel is a linear map of each patch, so the patches that
    serve as targets serve here too, and only those that are visible need be embedded.
    """

    def __init__(self, grid: PatchGrid, width: int, *, positions: str = 'sinusoid', **kwargs: Any):
        super().__init__(**kwargs)
        self.grid = grid
        self.projection = Dense(width, kernel_initializer='lecun_normal', name='projection')
        self.positions = (
            self.add_weight(
                name='positions',
                shape=[grid.num_tokens, width],
                initializer=keras.initializers.RandomNormal(stddev=0.02),
            )
            if positions == 'learned'
            else sinusoid(grid.num_tokens, width)
        )

    def call(self, patches: tf.Tensor, indices: tf.Tensor | None = None) -> tf.Tensor:
        """[B, V, P] patches at `indices` [B, V] (all of them, in order, if None) to [B, V, D]."""
        tokens = self.projection(to_values(patches))
        positions = tf.cast(self.positions, tokens.dtype)
        return tokens + (positions if indices is None else tf.gather(positions, indices))
