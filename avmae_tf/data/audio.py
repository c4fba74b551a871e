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


def take_samples(waveform: tf.Tensor, start: tf.Tensor, num_samples: int) -> tf.Tensor:
    """`num_samples` of [S] from sample `start`, going round at the end; silence if S is 0."""
    waveform = tf.cond(tf.size(waveform) > 0, lambda: waveform, lambda: tf.zeros([1]))
    index = tf.math.floormod(tf.cast(start, tf.int32) + tf.range(num_samples), tf.size(waveform))
    return tf.gather(waveform, index)


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


def log_mel(waveform: tf.Tensor, spec: AudioSpec) -> tf.Tensor:
    """[..., spec.num_samples] in [-1, 1] to [..., spec.num_frames, 128, 1].

    25 ms periodic Hamming window, 10 ms hop, the end padded with silence; magnitudes in 128 mel
    bands, ln(x + 0.001). Not normalised (appendix B.1).
    """
    spectrum = tf.signal.stft(
        waveform,
        frame_length=WINDOW_SAMPLES,
        frame_step=HOP_SAMPLES,
        fft_length=FFT_SAMPLES,
        window_fn=functools.partial(tf.signal.hamming_window, periodic=True),
        pad_end=True,
    )
    mel = tf.tensordot(tf.abs(spectrum), mel_matrix(), 1)
    return tf.math.log(mel[..., : spec.num_frames, :, None] + LOG_OFFSET)
