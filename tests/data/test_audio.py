"""The log-mel against one computed in float64, and samples taken round the end."""

import numpy as np
import tensorflow as tf

from avmae_tf.config import AudioSpec
from avmae_tf.data.audio import log_mel, mel_matrix, take_samples


def reference_log_mel(waveform: np.ndarray) -> np.ndarray:
    """The definition written out in float64: periodic Hamming, FFT 1024, HTK mel, ln(x + 1e-3)."""
    frames = -(-len(waveform) // 160)
    padded = np.concatenate([waveform, np.zeros(400)])
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    windows = np.stack([padded[160 * i : 160 * i + 400] * window for i in range(frames)])
    magnitude = np.abs(np.fft.rfft(windows, 1024))

    def mel(hz):
        return 1127.0 * np.log1p(hz / 700.0)

    edges = np.linspace(0, mel(8000), 130)
    bins = mel(np.arange(513) * 16000 / 1024)
    bank = np.zeros([513, 128])
    for band in range(128):
        low, peak, high = edges[band : band + 3]
        up, down = (bins - low) / (peak - low), (high - bins) / (high - peak)
        bank[:, band] = np.maximum(0, np.minimum(up, down))
    bank[0] = 0
    return np.log(magnitude @ bank + 1e-3)


def test_log_mel_equals_the_definition():
    waveform = np.random.default_rng(0).normal(0, 0.1, 32000).clip(-1, 1)
    for seconds, frames in ((2.0, 192), (1.6, 160), (1.6001, 160), (0.961, 96)):
        spec = AudioSpec(seconds=seconds)
        samples = waveform[: spec.num_samples]
        got = log_mel(tf.constant(samples, tf.float32), spec).numpy()
        assert got.shape == (frames, 128, 1)
        np.testing.assert_allclose(got[..., 0], reference_log_mel(samples)[:frames], atol=3e-4)


def test_normalisation_is_by_the_mean_and_deviation_of_the_release():
    waveform = tf.random.stateless_normal([16000], [0, 0], stddev=0.1)
    plain = log_mel(waveform, AudioSpec(seconds=1.0)).numpy()
    spec = AudioSpec(seconds=1.0, mean=1.102, deviation=2.762)
    np.testing.assert_allclose(log_mel(waveform, spec), (plain - 1.102) / 2.762, atol=1e-6)


def test_every_mel_band_has_a_bin():
    assert np.linalg.matrix_rank(mel_matrix()) == 128


def test_samples_go_round_at_the_end():
    for size in range(1, 8):
        for start in range(8):
            taken = take_samples(tf.range(size, dtype=tf.float32), start, 5)
            assert taken.numpy().tolist() == [i % size for i in range(start, start + 5)]


def test_no_sound_is_silence():
    assert take_samples(tf.zeros([0]), 3, 5).numpy().tolist() == [0] * 5
    silence = log_mel(take_samples(tf.zeros([0]), 0, 16000), AudioSpec(seconds=1.0))
    np.testing.assert_allclose(silence, np.log(1e-3), rtol=1e-6)
