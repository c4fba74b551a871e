"""From a waveform to the log-mel spectrogram that the models read (Sec. 4.1).

Shapes: S samples at 16 kHz, T spectrogram frames of 10 ms.
"""

import functools

import numpy as np
import tensorflow as tf

from avmae_tf.config import HOP_SAMPLES, NUM_MEL_BINS, SAMPLE_RATE_HZ, AudioSpec

WINDOW_SAMPLES = 400  # 25 ms
FFT_SAMPLES = 1024  # 512 would leave the lowest of 128 mel bands empty
LOG_OFFSET = 1e-3
BAND_GROUPS = 4  # neighbouring bands, which share few bins with the others


def take_samples(waveform: tf.Tensor, start: tf.Tensor, num_samples: int) -> tf.Tensor:
    """`num_samples` of [S] from sample `start`, going round at the end; silence if S is 0."""
    size = tf.size(waveform)
    round_samples = tf.maximum(size, 1)
    start = tf.math.floormod(tf.cast(start, tf.int32), round_samples)
    end = start + num_samples
    # Copies only what is shorter than the window: what is longer goes round once at most.
    rounds = tf.tile(waveform, [tf.maximum(end // round_samples, 1)])
    rest = waveform[: tf.maximum(end - tf.size(rounds), 0)]
    silence = tf.zeros([tf.where(size > 0, 0, num_samples)])
    taken = tf.concat([rounds[start:end], rest, silence], axis=0)
    return tf.ensure_shape(taken, [num_samples])


@functools.cache
def mel_matrix() -> np.ndarray:
    """HTK mel bands with unit peaks from 0 to 8000 Hz, [513, 128], built in float64."""
    with tf.init_scope():
        matrix = tf.signal.linear_to_mel_weight_matrix(
            NUM_MEL_BINS,
            FFT_SAMPLES // 2 + 1,
            SAMPLE_RATE_HZ,
            lower_edge_hertz=0.0,
            upper_edge_hertz=SAMPLE_RATE_HZ / 2,
            dtype=tf.float64,
        )
        return matrix.numpy().astype(np.float32)


def mel_bands(magnitude: tf.Tensor) -> tf.Tensor:
    """`magnitude` [T, 513] times `mel_matrix`, [T, 128]; a quarter of it is not zero by rows."""
    groups = []
    for bands in np.split(mel_matrix(), BAND_GROUPS, axis=1):
        used = np.flatnonzero(bands.any(axis=1))
        bins = slice(used[0], used[-1] + 1)
        groups.append(tf.matmul(magnitude[:, bins], bands[bins]))
    return tf.concat(groups, axis=1)


def frame_window() -> np.ndarray:
    """Periodic Hamming window of 25 ms, filled up with zeros to whole hops, [480]."""
    window = 0.54 - 0.46 * np.cos(2.0 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)
    return np.pad(window, [0, -WINDOW_SAMPLES % HOP_SAMPLES]).astype(np.float32)


def log_mel(waveform: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """[spec.num_samples] in [-1, 1] to [spec.num_frames, 128, 1].

    25 ms periodic Hamming window, 10 ms hop, the end padded with silence; magnitudes in 128 mel
    bands, ln(x + 0.001); less `mean`, by `deviation`. Written out, for
    `tf.signal.stft` and `tf.abs` take half as long again.
    """
    window = frame_window()
    hops = window.size // HOP_SAMPLES
    num_samples = (spec.num_frames + hops - 1) * HOP_SAMPLES
    silence = tf.zeros([max(num_samples - spec.num_samples, 0)])
    rows = tf.reshape(tf.concat([waveform[:num_samples], silence], axis=0), [-1, HOP_SAMPLES])
    parts = [rows[i : i + spec.num_frames] * part for i, part in enumerate(np.split(window, hops))]
    zeros = tf.zeros([spec.num_frames, FFT_SAMPLES - window.size])
    spectrum = tf.signal.rfft(tf.concat([*parts, zeros], axis=1))
    power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    mel = tf.math.log(mel_bands(tf.sqrt(power)) + LOG_OFFSET)
    if (spec.mean, spec.deviation) != (0.0, 1.0):
        mel = (mel - spec.mean) / spec.deviation
    return mel[:, :, None]
