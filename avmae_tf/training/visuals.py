"""Pictures of what a model reconstructs, as in Figure 5 of the paper.

Rows: the input, the input after masking, the reconstruction (visible patches as they were given).
Shapes: B clips, N tokens, M reconstructed tokens, P values of a patch.
"""

import cv2
import numpy as np
import tensorflow as tf

from avmae_tf.config import AUDIO, MODALITIES, VIDEO, PatchGrid, PretrainConfig
from avmae_tf.models.avmae import Reconstruction
from avmae_tf.models.masking import gather_tokens
from avmae_tf.models.patches import patchify, to_values, unpatchify, unstandardise

MAX_FRAMES = 8  # shown of each clip, as in the paper
GREY = 128
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # input, hidden (bool), reconstruction


def three_rows(
    inputs: tf.Tensor, predicted: tf.Tensor, indices: tf.Tensor, grid: PatchGrid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[B, ...] inputs, [B, M, P] predictions at [B, M] to input, hidden (bool), reconstruction."""
    patches = patchify(inputs, grid).numpy()
    filled, hidden = patches.copy(), np.zeros_like(patches)
    np.put_along_axis(filled, indices.numpy()[..., None], predicted.numpy(), axis=1)
    np.put_along_axis(hidden, indices.numpy()[..., None], 1.0, axis=1)
    masked, reconstructed = (unpatchify(x, grid).numpy() for x in (hidden, filled))
    return inputs.numpy(), masked > 0, reconstructed


def video_picture(rows: Rows, num_frames: int = MAX_FRAMES) -> np.ndarray:
    """Rows of one clip [T, H, W, 3] in [-1, 1] to one uint8 picture, frames side by side."""
    given, hidden, reconstructed = rows
    chosen = np.linspace(0, len(given) - 1, min(num_frames, len(given))).round().astype(int)

    def strip(frames):
        pixels = np.clip((frames[chosen] + 1.0) * 127.5, 0, 255).astype(np.uint8)
        return np.concatenate(list(pixels), axis=1)

    masked = np.where(hidden, GREY / 127.5 - 1.0, given)
    return np.concatenate([strip(given), strip(masked), strip(reconstructed)])


def spectrogram_picture(values: np.ndarray, span: np.ndarray | None = None) -> np.ndarray:
    """[T, 128, 1] to uint8 [128, T, 3], time to the right, low notes last.

    Colours span the range of `span`, of `values` themselves if it is None.
    """
    span = values if span is None else span
    low, high = span.min(), max(span.max(), span.min() + 1e-6)
    level = np.clip((values[..., 0] - low) / (high - low), 0, 1)
    level = (255 * level.T[::-1]).astype(np.uint8)
    return cv2.applyColorMap(level, cv2.COLORMAP_MAGMA)[..., ::-1]


def audio_picture(rows: Rows) -> np.ndarray:
    """Rows of one spectrogram [T, 128, 1] to one uint8 picture; colours span the input's range."""
    given, hidden, reconstructed = rows
    colours = spectrogram_picture(given)
    masked = np.where(hidden[..., 0].T[::-1, :, None], GREY, colours).astype(np.uint8)
    return np.concatenate([colours, masked, spectrogram_picture(reconstructed, given)])


def pictures(
    outcome: Reconstruction, inputs: dict[str, tf.Tensor], config: PretrainConfig
) -> dict[str, np.ndarray]:
    """A uint8 picture [B, height, width, 3] of every clip, by modality."""
    draw = {VIDEO: video_picture, AUDIO: audio_picture}
    inputs = {m: to_values(x) for m, x in inputs.items()}
    result = {}
    for m in outcome.predicted:
        predicted, indices, grid = outcome.predicted[m], outcome.indices[m], config.inputs(m)
        if config.standardise_targets:
            true = gather_tokens(patchify(inputs[m], grid), indices)
            predicted = unstandardise(predicted, true)
        rows = three_rows(inputs[m], predicted, indices, grid)
        result[m] = np.stack([draw[m](clip) for clip in zip(*rows, strict=True)])
    return result


def tag_of(modality: str) -> str:
    """The tag of a modality's pictures, for TensorBoard."""
    return f'reconstruction/{modality}'


def modality_of(tag: str) -> str | None:
    """The modality whose pictures have this tag; None of another tag."""
    # Earlier versions had no group of their own for each kind of picture.
    return {f'reconstruction{c}{m}': m for m in MODALITIES for c in '/_'}.get(tag)


def summarise(
    outcome: Reconstruction, inputs: dict[str, tf.Tensor], config: PretrainConfig, step: int
) -> None:
    """Writes the pictures as image summaries to the current summary writer."""
    for modality, images in pictures(outcome, inputs, config).items():
        tf.summary.image(tag_of(modality), images, step=step, max_outputs=len(images))
