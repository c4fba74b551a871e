"""Sound of any rate as at 16 kHz, beside scipy; WAV files beside TensorFlow's reader."""

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from avmae_tf.data.sound import read_wav, resample


def tones(rate_hz, seconds=2.3):
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return sum(0.2 * np.sin(2 * np.pi * hz * times + hz) for hz in (220.0, 990.0, 1777.0))


def wav(samples, rate_hz=16000, *, kind=1, bits=16, before=b'', length=None, channels=1):
    data = np.round(np.asarray(samples) * 32767).astype('<i2').tobytes()
    block = channels * bits // 8
    form = struct.pack('<HHIIHH', kind, channels, rate_hz, rate_hz * block, block, bits)
    length = len(data) if length is None else length
    chunks = b'fmt ' + struct.pack('<I', len(form)) + form + before
    chunks += b'data' + struct.pack('<I', length) + data
    return b'RIFF' + struct.pack('<I', 4 + len(chunks)) + b'WAVE' + chunks


@pytest.mark.parametrize('rate_hz', [8000, 11025, 15999, 22050, 44100, 48000, 192000])
def test_sound_of_another_rate_is_what_it_would_be_at_16_khz(rate_hz):
    samples = tones(rate_hz).astype(np.float32)
    ours = resample(tf.constant(samples), tf.constant(rate_hz)).numpy()
    assert len(ours) == -(-len(samples) * 16000 // rate_hz)
    inside = np.s_[800:-800]  # sound that begins at once rings
    np.testing.assert_allclose(ours[inside], tones(16000, 2.4)[: len(ours)][inside], atol=3e-4)
    if rate_hz % 25 == 0:  # scipy's filter has as many taps as the rates have no common divisor
        common = np.gcd(rate_hz, 16000)
        theirs = scipy.signal.resample_poly(samples, 16000 // common, rate_hz // common)
        np.testing.assert_allclose(ours[inside], theirs[: len(ours)][inside], atol=1e-3)


def test_what_16_khz_cannot_hold_is_left_out():
    times = np.arange(48000) / 48000
    high = np.sin(2 * np.pi * 11000 * times).astype(np.float32)  # would be heard at 5 kHz
    ours = resample(tf.constant(high), tf.constant(48000)).numpy()
    assert np.abs(ours[800:-800]).max() < 1e-3


def test_sound_at_16_khz_stays_as_it_is():
    samples = tones(16000).astype(np.float32)
    np.testing.assert_array_equal(resample(tf.constant(samples), tf.constant(16000)), samples)
    assert resample(tf.zeros([0]), tf.constant(48000)).shape == (0,)


def test_wav_files_are_read_as_tensorflow_reads_them():
    sound = np.random.default_rng(0).uniform(-1, 1, [4000, 2])
    file = wav(sound, channels=2)
    theirs = tf.audio.decode_wav(file).audio
    ours, fault = read_wav(tf.constant(file), 'audio')
    assert fault == b''
    np.testing.assert_allclose(ours, tf.reduce_mean(theirs, axis=1), atol=1e-6)


@pytest.mark.parametrize(
    'changes',
    [
        {'before': b'LIST\x05\0\0\0abcde\0'},  # of odd length, filled up
        {'length': 0xFFFFFFFF},  # into a pipe
        {'kind': 0xFFFE, 'before': b''},
    ],
)
def test_other_layouts_of_wav_files(changes):
    sound = tones(16000)
    file = wav(sound, **changes)
    if changes.get('kind') == 0xFFFE:  # its format is told in the extension
        extension = struct.pack('<HHIH', 22, 16, 4, 1) + bytes(14)
        file = file[:16] + struct.pack('<I', 40) + file[20:36] + extension + file[36:]
    ours, fault = read_wav(tf.constant(file), 'audio')
    assert fault == b''
    np.testing.assert_allclose(ours, sound, atol=1e-4)


@pytest.mark.parametrize(
    ('file', 'said'),
    [
        (b'junk', 'must be a WAV file.* got 4 bytes'),
        (wav(tones(16000))[:30], 'needs a chunk "fmt " and then a chunk "data"'),
        (wav(tones(16000))[:-100], '73600 bytes of samples, and 73500 are there'),
        (wav([0.0], kind=3, bits=32), 'got format 3, 32 bits'),
        (wav([0.0], channels=17), 'got 17 in blocks of 34 bytes'),
        (wav([0.0], 300_000), '4000 to 192000 Hz, and resampled to 16000 Hz, got 300000 Hz'),
        (wav([0.0], 0), 'got 0 Hz'),
        (wav([0.0], 191_999), 'above 48000 Hz .* multiples of 8000 and 11025 Hz, got 191999 Hz'),
        (wav(np.zeros(4), 192_000, channels=4), 'got 4 channels of 192000 Hz'),
        (wav(np.zeros(4000 * 601), 4000), 'at most 600 s .* got 601 s'),
        (b'RIFF\0\0\0\0WAVE' + b'none\0\0\0\0' * 10**5, 'needs a chunk "fmt "'),
    ],
)
def test_a_file_that_is_no_such_wav_is_refused_with_its_reason(file, said):
    sound, fault = read_wav(tf.constant(file), 'audio')
    assert sound.shape == (0,)
    with pytest.raises(ValueError, match=f'^audio: .*{said}'):
        raise ValueError(fault.numpy().decode())


@pytest.mark.parametrize('rate_hz', [64000, 88200, 96000, 176400, 192000])
def test_the_usual_high_rates_are_taken(rate_hz):
    sound, fault = read_wav(tf.constant(wav(np.zeros(2000), rate_hz, channels=2)), 'audio')
    assert fault == b'' and len(sound) == -(-1000 * 16000 // rate_hz)


def test_many_channels_are_never_in_memory_at_once():
    file = tf.constant(wav(np.zeros(24_000 * 16 * 60), 24_000, channels=16))
    read = tf.function(lambda x: read_wav(x, 'audio')[0], autograph=False)
    read(tf.constant(wav(np.zeros(48_000), 24_000, channels=16)))
    Path('/proc/self/clear_refs').write_text('5')  # from here on the peak is counted
    before = peak_mb()
    assert len(read(file)) == 60 * 16_000
    assert peak_mb() - before < 70, 'floats of all channels would be 88 MB, beside the file'


def peak_mb() -> int:
    return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) >> 10


def test_no_file_is_no_sound():
    sound, fault = read_wav(tf.constant(b''), 'audio')
    assert sound.shape == (0,) and fault == b''
