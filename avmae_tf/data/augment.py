"""Random changes of training inputs (appendix B.2): stateless, each a function of its seed [2].

Shapes: B clips of a batch, T frames, S spectrogram frames.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from avmae_tf.config import (
    NUM_MEL_BINS,
    RANDOM_ALGORITHM,
    AugmentSpec,
    ColourJitter,
    Mixup,
    SpecAugment,
)

RGB_TO_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32
)
YIQ_TO_RGB = np.linalg.inv(RGB_TO_YIQ)
BETA_PAIRS = 64  # at alpha 2, the largest, one draw in 100 000 finds no pair and takes the first


def split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """`count` seeds [2] out of one."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, count))


def sample_uniform(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """`count` numbers in [0, 1)."""
    return tf.unstack(tf.random.stateless_uniform([count], seed))


def between(fraction: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """`low` for 0, `high` for 1, and linear between."""
    return low + (high - low) * fraction


def flip(frames: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """[T, H, W, 3], left and right exchanged in half of the clips."""
    (coin,) = sample_uniform(seed, 1)
    return tf.cond(coin < 0.5, lambda: tf.reverse(frames, [2]), lambda: frames)


def hue_rotation(turn: tf.Tensor) -> tf.Tensor:
    """Rotates colours by a part of a `turn` around the grey axis of YIQ, [3, 3] on columns."""
    angle = 2.0 * np.pi * turn
    one, zero, cos, sin = tf.ones([]), tf.zeros([]), tf.cos(angle), tf.sin(angle)
    rotation = tf.reshape(tf.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos]), [3, 3])
    return tf.matmul(YIQ_TO_RGB, tf.matmul(rotation, RGB_TO_YIQ))


def jitter_colour(frames: tf.Tensor, spec: ColourJitter, seed: tf.Tensor) -> tf.Tensor:
    """uint8 [T, H, W, 3] in other colours, the same change for all frames.

    Brightness b, saturation S, contrast c around the mean colour, hue H, then perhaps grey G:
    all are affine, so that a pixel is G H S (c x + b + (1 - c) mean) in one product, a tenth of
    the cost of `tf.image` going to HSV and back for each.
    """
    coin, drop, brightness, saturation, contrast, hue = sample_uniform(seed, 6)
    jitters, drops = coin < spec.probability, drop < spec.drop_probability

    def symmetric(fraction, largest):
        return tf.where(jitters, between(fraction, -largest, largest), 0.0)

    def changed():
        grey = np.repeat(RGB_TO_YIQ[:1], 3, axis=0)
        pixels = tf.reshape(tf.cast(frames, tf.float32), [-1, 3])
        less_grey = 1.0 + symmetric(saturation, spec.saturation)
        matrix = less_grey * np.eye(3, dtype=np.float32) + (1.0 - less_grey) * grey
        matrix = tf.matmul(hue_rotation(symmetric(hue, spec.hue)), matrix)
        matrix = tf.where(drops, tf.matmul(grey, matrix), matrix)
        factor = 1.0 + symmetric(contrast, spec.contrast)
        mean = tf.reduce_mean(pixels, axis=0, keepdims=True)
        shift = 255.0 * symmetric(brightness, spec.brightness) + (1.0 - factor) * mean
        pixels = tf.matmul(pixels, factor * matrix, transpose_b=True)
        pixels += tf.matmul(shift, matrix, transpose_b=True) + 0.5
        return tf.reshape(tf.cast(tf.clip_by_value(pixels, 0.0, 255.0), tf.uint8), frames.shape)

    return tf.cond(jitters | drops, changed, lambda: frames)


def shift_time(spectrogram: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """[S, 128, 1], going round in time by a uniform offset."""
    length = spectrogram.shape[0]
    offset = tf.random.stateless_uniform([], seed, maxval=length, dtype=tf.int32)
    return tf.roll(spectrogram, offset, axis=0)


def stripes(length: int, count: int, width: int, seed: tf.Tensor) -> tf.Tensor:
    """bool [length], True in `count` stripes of 0 to `width`, uniform in width and place."""
    if not count:
        return tf.zeros([length], tf.bool)
    widths, places = tf.unstack(tf.random.stateless_uniform([2, count, 1], seed))
    widths = tf.floor(widths * (min(width, length) + 1))
    starts = tf.floor(places * (length - widths + 1.0))
    positions = tf.range(length, dtype=tf.float32)
    return tf.reduce_any((starts <= positions) & (positions < starts + widths), axis=0)


def mask_spectrogram(spectrogram: tf.Tensor, spec: SpecAugment, seed: tf.Tensor) -> tf.Tensor:
    """SpecAugment [59] without warping: [S, 128, 1], zero in bands of mel and stretches of time."""
    by_band, by_time = split(seed, 2)
    bands = stripes(NUM_MEL_BINS, spec.frequency_masks, spec.frequency_width, by_band)
    times = stripes(spectrogram.shape[0], spec.time_masks, spec.time_width, by_time)
    masked = times[:, None, None] | bands[:, None]
    return tf.where(masked, 0.0, spectrogram)


def augment_frames(
    frames: tf.Tensor, present: tf.Tensor, spec: AugmentSpec, seed: tf.Tensor
) -> tf.Tensor:
    """uint8 [T, H, W, 3] after the crop; blank ones stay so, where `present` is False."""
    if not (spec.random_flip or spec.colour):
        return frames
    by_flip, by_colour = split(seed, 2)

    def changed():
        flipped = flip(frames, by_flip) if spec.random_flip else frames
        return jitter_colour(flipped, spec.colour, by_colour) if spec.colour else flipped

    return tf.cond(present, changed, lambda: frames)


def augment_spectrogram(
    spectrogram: tf.Tensor, present: tf.Tensor, spec: AugmentSpec, seed: tf.Tensor
) -> tf.Tensor:
    """[S, 128, 1]; that of silence stays so, where `present` is False."""
    if not (spec.time_shift or spec.spec_augment):
        return spectrogram
    by_shift, by_mask = split(seed, 2)

    def changed():
        shifted = shift_time(spectrogram, by_shift) if spec.time_shift else spectrogram
        spec_augment = spec.spec_augment
        return mask_spectrogram(shifted, spec_augment, by_mask) if spec_augment else shifted

    return tf.cond(present, changed, lambda: spectrogram)


def sample_beta(seed: tf.Tensor, count: int, alpha: float) -> tf.Tensor:
    """`count` draws of Beta(alpha, alpha): the first of Joehnk's pairs that is accepted.

    In operations that XLA has for every device, which a Gamma is not among.
    """
    shape = [2, BETA_PAIRS, count]
    uniform = tf.random.stateless_uniform(shape, seed, alg=RANDOM_ALGORITHM)
    logs = tf.math.log1p(-uniform) / alpha
    accepted = tf.reduce_logsumexp(logs, axis=0) <= 0.0
    first = tf.one_hot(tf.argmax(tf.cast(accepted, tf.int32)), BETA_PAIRS, axis=0)
    return tf.reduce_sum(first * tf.sigmoid(logs[0] - logs[1]), axis=0)


def mixup(
    inputs: dict[str, tf.Tensor], labels: Any, seed: tf.Tensor, *, spec: Mixup
) -> tuple[dict[str, tf.Tensor], dict[str, Any]]:
    """Each clip mixed with its opposite in the batch: w x + (1 - w) x[::-1], w ~ Beta(a, a).

    Args:
      inputs: [B, ...] by modality.
      labels: [B, ...], or a structure of such tensors.
      seed: [2].
      spec: one weight for the batch, or one for each modality.

    Returns:
      The mixed inputs, and by modality the labels mixed with that modality's weight.
    """
    count = len(inputs) if spec.per_modality else 1
    weights = tf.unstack(sample_beta(seed, count, spec.alpha))
    weights = weights if spec.per_modality else weights * len(inputs)
    weights = dict(zip(inputs, weights, strict=True))
    mixed = {m: mix(x, weights[m]) for m, x in inputs.items()}
    return mixed, {m: tf.nest.map_structure(lambda y, w=w: mix(y, w), labels)
                   for m, w in weights.items()}  # fmt: skip


def mix(x: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """w x + (1 - w) x[::-1] along the first axis."""
    weight = tf.cast(weight, x.dtype)
    return weight * x + (1 - weight) * tf.reverse(x, [0])
