"""WAV files, and sound of any rate, to what the models read: mono, 16 kHz, in [-1, 1].

Shapes: S samples.
"""

import math

import tensorflow as tf

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.data.checks import (
    MAX_VALUES_A_SECOND,
    first_broken,
    length_rule,
    rare,
    rate_rules,
)

MAX_CHUNKS = 64  # of a WAV file before its samples
MAX_CHANNELS = 16
INT16_SCALE = 32768.0
_PCM, _EXTENSIBLE = 1, 0xFFFE
_UNKNOWN_BYTES = 0x7FFF0000  # from here on a length is what programs write into a pipe


def resample(samples: tf.Tensor, rate_hz: tf.Tensor) -> tf.Tensor:
    """[S] at `rate_hz`, an integer, to 16 kHz; what is above half the lower rate is left out."""

    @rare
    def changed():
        return _by_seconds(lambda start, end: samples[start:end], tf.size(samples), rate_hz)

    same = tf.equal(rate_hz, SAMPLE_RATE_HZ)
    return tf.cond(same, lambda: samples, changed)


def _by_seconds(read, size: tf.Tensor, rate_hz: tf.Tensor) -> tf.Tensor:
    """What `read(start, end)` gives of `size` samples, at 16 kHz; little is in memory at once.

    Second by second by Fourier transform, each between its neighbours, which are faded.
    """
    rate, size = tf.cast(rate_hz, tf.int32), tf.cast(size, tf.int32)
    fade = tf.sin(tf.linspace(0.0, math.pi / 2, rate)) ** 2
    window = tf.concat([fade, tf.ones([rate]), fade[::-1]], axis=0)
    gain = tf.cast(SAMPLE_RATE_HZ / rate, tf.float32)

    def part(start, end):
        """Silence where there is nothing."""
        first, last = tf.maximum(start, 0), tf.minimum(end, size)
        return tf.pad(read(first, last), [[first - start, end - last]])

    def changed(start):
        sound = part(start - rate, start + 2 * rate) * window
        sound = tf.signal.irfft(tf.signal.rfft(sound), [3 * SAMPLE_RATE_HZ])
        return sound[SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ] * gain

    def second(number):
        start = number * rate
        alike = tf.equal(rate, SAMPLE_RATE_HZ)
        sound = tf.cond(alike, lambda: part(start, start + rate), lambda: changed(start))
        return tf.ensure_shape(sound, [SAMPLE_RATE_HZ])

    spec = tf.TensorSpec([SAMPLE_RATE_HZ])
    parts = tf.map_fn(second, tf.range(-(-size // rate)), fn_output_signature=spec)
    wanted = -(-tf.cast(size, tf.int64) * SAMPLE_RATE_HZ // tf.cast(rate, tf.int64))
    return tf.reshape(parts, [-1])[:wanted]


def read_wav(wav: tf.Tensor, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    """A WAV file to its samples at 16 kHz [S], and what is wrong with it in a field of this name.

    16-bit PCM of any number of channels, whose mean is taken; other chunks are passed over. No
    samples where something is wrong, or `wav` is empty. `tf.audio.decode_wav` would take a length
    on trust, and could not say what is wrong with one of several files.
    """
    size = tf.cast(tf.strings.length(wav), tf.int64)

    def number(at, num_bytes):
        """Little-endian; what is beyond the end counts as 0."""
        at = tf.clip_by_value(at, 0, size)
        text = tf.strings.substr(wav, at, tf.cast(num_bytes, tf.int64))
        digits = tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int64)
        return tf.reduce_sum(digits * 256 ** tf.range(tf.size(digits, out_type=tf.int64)))

    def is_at(at, text):
        return number(at, 4) == int.from_bytes(text, 'little')

    def go_on(at, form, data):
        return (data == 0) & (at + 8 <= size)

    def next_chunk(at, form, data):
        body, length = at + 8, number(at + 4, 4)
        form = tf.where(is_at(at, b'fmt '), body, form)
        data = tf.where(is_at(at, b'data'), body, data)
        return body + length + length % 2, form, data

    zero = tf.zeros([], tf.int64)
    _, form, data = tf.while_loop(
        go_on, next_chunk, (zero + 12, zero, zero), maximum_iterations=MAX_CHUNKS
    )
    kind, channels, rate = number(form, 2), number(form + 2, 2), number(form + 4, 4)
    block, bits = number(form + 12, 2), number(form + 14, 2)
    kind = tf.where(kind == _EXTENSIBLE, number(form + 24, 2), kind)
    told, there = number(data - 4, 4), size - data
    length = tf.where(told >= _UNKNOWN_BYTES, there, told)
    frame = tf.maximum(block, 1)
    num_samples = length // frame
    fault = first_broken(
        (
            is_at(zero, b'RIFF') & is_at(zero + 8, b'WAVE'),
            f"{name}: must be a WAV file, or '' where there is no sound, got ", size,
            ' bytes of something else',
        ),
        (
            (form > 0) & (data > form),
            f'{name}: a WAV file needs a chunk "fmt " and then a chunk "data"',
        ),
        (
            (kind == _PCM) & (bits == 16),
            f'{name}: a WAV file must hold 16-bit PCM (format 1), got format ', kind, ', ', bits,
            ' bits',
        ),
        (
            (channels >= 1) & (channels <= MAX_CHANNELS) & (block == 2 * channels),
            f'{name}: a WAV file must hold 1 to {MAX_CHANNELS} channels of two bytes each, got ',
            channels, ' in blocks of ', block, ' bytes',
        ),
        (
            length <= there,
            f'{name}: its header says ', told, ' bytes of samples, and ', there, ' are there',
        ),
        *rate_rules(rate, name),
        (
            channels * rate <= MAX_VALUES_A_SECOND,
            f'{name}: at most {MAX_VALUES_A_SECOND} values a second of all channels, got ',
            channels, ' channels of ', rate, ' Hz',
        ),
        length_rule(num_samples, rate, name),
    )  # fmt: skip
    fault = tf.where(size > 0, fault, '')
    sound = (size > 0) & (fault == '')

    def mono(start, end):
        place, count = (tf.cast(x, tf.int64) * frame for x in (start, end - start))
        values = tf.io.decode_raw(tf.strings.substr(wav, data + place, count), tf.int16)
        values = tf.reshape(tf.cast(values, tf.float32), [-1, channels])
        return tf.reduce_mean(values, axis=1) / INT16_SCALE

    samples = tf.cond(sound, lambda: _by_seconds(mono, num_samples, rate), lambda: tf.zeros([0]))
    return samples, fault
