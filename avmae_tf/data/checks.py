"""Limits on what a clip may hold, and the sentence about a clip that breaks one.

A request stays below four times the CPU time and memory of one with as many frames of 1920 x 1080
and stereo sound of 48 kHz as long: what a JPEG costs follows from its pixels, its scans and its
bytes, and all three are read of every frame before any is decoded.

Shapes: F frames, S samples.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

MAX_FRAMES = 18_000  # of a clip: ten minutes at 30 a second
MAX_SECONDS = 600  # of sound
MAX_SAMPLES = MAX_SECONDS * 48_000  # of sound, before it is resampled
FRAME_RATES = (0.01, 1000.0)  # per second
SAMPLE_RATES_HZ = (4_000, 192_000)
MAX_ODD_RATE_HZ = 48_000  # beyond it multiples of these: primes take ten times as long to resample
EVEN_RATES_HZ = (8_000, 11_025)
MAX_VALUES_A_SECOND = 8 * 48_000  # of all channels of sound
MAX_AMPLITUDE = 2.0  # full scale is 1; sound that was decoded from MP3 goes a little beyond it
MAX_FRAME_PIXELS = 2_400_000  # 1920 x 1080, and a little more
MAX_FRAME_BYTES = 2**21  # of a JPEG
MAX_FRAME_SCANS = 12  # of a JPEG; encoders write ten where they write progressive ones
MAX_FRAME_WORK = 6 * 2**20  # bytes times scans
MAX_FRAME_PASSES = 21_000_000  # pixels times scans: ten of 1920 x 1080
SHORTEST_SPAN_US = 10_000  # of a clip whose times say something; others write 0 and 1
TIMES_SLACK = (0.25, 0.1)  # by which sound may miss a clip's times: a part of them, and seconds

_START_OF_JPEG, _START_OF_SCAN = b'\xff\xd8\xff', b'\xff\xda'


def rare(branch: Callable[..., Any]) -> Callable[..., Any]:
    """A branch of the graph that is seldom taken, as a function of its own.

    Else each of its operations would cost time where it is not taken, too.
    """
    return tf.function(branch, autograph=False, experimental_attributes={'_noinline': True})


Rule = tuple  # whether it holds, a scalar, and the parts of its sentence, texts and numbers


def first_broken(*rules: Rule) -> tf.Tensor:
    """The sentence of the first rule that is broken, '' if none."""

    def sentence():
        found = tf.constant('')
        for holds, *parts in reversed(rules):
            texts = [_text(tf.convert_to_tensor(part)) for part in parts]
            found = tf.where(holds, found, tf.strings.join(texts))
        return found

    # The sentence is made only where a rule is broken; else it would slow the input pipeline.
    nothing = tf.constant('')
    return tf.cond(tf.reduce_all([holds for holds, *_ in rules]), lambda: nothing, rare(sentence))


def _text(part: tf.Tensor) -> tf.Tensor:
    if part.dtype == tf.string:
        return part
    return tf.strings.as_string(part, shortest=part.dtype.is_floating)


def no_fault(fault: tf.Tensor) -> Rule:
    """The rule that there is no such sentence yet."""
    return fault == '', fault


def within(value: tf.Tensor, bounds: tuple) -> tf.Tensor:
    """Whether a number is finite and between `bounds`."""
    low, high = (tf.cast(bound, value.dtype) for bound in bounds)
    return (value >= low) & (value <= high)  # NaN is neither


def attempt(work: Callable[..., Any], inputs: tuple, fallback: Any) -> Any:
    """`work(*inputs)`, or `fallback` where any of its operations fails: stock operations only.

    Both are structures of tensors of the same kinds.
    """
    done = tf.data.Dataset.from_tensors(inputs).map(work).ignore_errors()
    done = done.concatenate(tf.data.Dataset.from_tensors(fallback)).take(1)
    return done.with_options(_plain()).get_single_element()


def _plain() -> tf.data.Options:
    """Options for a data set of one element, whose graph is not worth rewriting."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return options


def key_rule(serialized: tf.Tensor, values: Any, *keys: str) -> Rule:
    """A record that holds no `values` must have one of these keys, with an empty list."""
    has_none = tf.add_n([tf.size(x) for x in tf.nest.flatten(values)]) == 0
    # How both kinds of records write a key: the tag of a map's key, its length, its text.
    fields = '|'.join(f'\\x0a\\x{len(key):02x}{key}' for key in keys)
    # Where there are values an empty text is searched: cheaper than a branch of the graph.
    looked_at = tf.strings.substr(
        serialized, 0, tf.where(has_none, tf.strings.length(serialized), 0)
    )
    there = ~has_none | tf.strings.regex_full_match(looked_at, rf'\C*({fields})\C*')
    return there, f'{keys[0]}: this key is missing; a clip without has an empty list'


def frame_rate_rule(num_frames: tf.Tensor, frames_per_second: tf.Tensor, name: str) -> Rule:
    """The rate of frames in a field of this name must be within bounds, where there are frames."""
    low, high = FRAME_RATES
    return (
        (num_frames == 0) | within(frames_per_second, FRAME_RATES),
        f'{name}: must be a number from {low:g} to {high:g}, got ', frames_per_second,
    )  # fmt: skip


def frames_fault(frames: tf.Tensor, name: str) -> tf.Tensor:
    """What is wrong with JPEGs [F] in a field of this name; '' if nothing.

    Nothing is decoded. What JPEGs say of their size is read as the decoder will read it.
    """
    count = tf.size(frames)
    sizes = tf.strings.length(frames)
    begins = tf.strings.substr(frames, 0, len(_START_OF_JPEG)) == _START_OF_JPEG
    first = _first_false(begins)
    large = _first_false(sizes <= MAX_FRAME_BYTES)
    fault = first_broken(
        (count <= MAX_FRAMES, f'{name}: at most {MAX_FRAMES} frames a clip, got ', count),
        (
            first == count,
            f'{name}[', first, "]: must be a JPEG ('' only after the last frame), got ",
            _at(sizes, first), ' bytes of something else',
        ),
        (
            large == count,
            f'{name}[', large, f']: at most {MAX_FRAME_BYTES} bytes, got ', _at(sizes, large),
        ),
    )  # fmt: skip
    return tf.cond((fault == '') & (count > 0), lambda: _header_fault(frames, name), lambda: fault)


def _header_fault(frames: tf.Tensor, name: str) -> tf.Tensor:
    def measure(index, jpeg):
        height, width, _ = tf.unstack(tf.cast(tf.io.extract_jpeg_shape(jpeg), tf.int64))
        # Counted up to one more than allowed: a file may have a million scans.
        pieces = tf.strings.split([jpeg], _START_OF_SCAN, MAX_FRAME_SCANS + 1).row_lengths()[0]
        size = tf.strings.length(jpeg)
        return index, height, width, tf.cast(pieces, tf.int64) - 1, tf.cast(size, tf.int64)

    count = tf.size(frames, out_type=tf.int64)
    headers = tf.data.Dataset.from_tensor_slices(frames).enumerate().map(measure).ignore_errors()
    none = tf.data.Dataset.from_tensors((tf.zeros([0], tf.int64),) * 5)
    readable = headers.batch(count).concatenate(none).take(1).with_options(_plain())
    index, height, width, scans, sizes = readable.get_single_element()

    damaged = _first_false(index == tf.range(tf.size(index, out_type=tf.int64)))
    large = _first_false(height * width <= MAX_FRAME_PIXELS)
    costly = _first_false(
        (scans <= MAX_FRAME_SCANS)
        & (scans * sizes <= MAX_FRAME_WORK)
        & (scans * height * width <= MAX_FRAME_PASSES)
    )
    readable = tf.size(index)
    return first_broken(
        (large == readable, f'{name}[', _at(index, large), f']: at most {MAX_FRAME_PIXELS} '
         'pixels, got ', _at(width, large), ' x ', _at(height, large)),
        (costly == readable, f'{name}[', _at(index, costly), f']: at most {MAX_FRAME_SCANS} scans '
         f'in a JPEG, {MAX_FRAME_WORK} bytes times scans, and {MAX_FRAME_PASSES} pixels times '
         'scans, got ', _at(scans, costly),
         tf.where(_at(scans, costly) > MAX_FRAME_SCANS, ' scans or more in ', ' scans in '),
         _at(sizes, costly), ' bytes and ', _at(width, costly), ' x ', _at(height, costly)),
        (readable == tf.size(frames), f'{name}[', damaged, ']: a JPEG with a damaged header'),
    )  # fmt: skip


def _first_false(holds: tf.Tensor) -> tf.Tensor:
    """Place of the first False in [F], F if there is none."""
    places = tf.where(holds, tf.size(holds), tf.range(tf.size(holds)))
    return tf.reduce_min(tf.concat([places, [tf.size(holds)]], axis=0))


def _at(values: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """The value at `place`, 0 if that is beyond the end."""
    return tf.reduce_sum(values[place : place + 1])


def rate_rules(rate_hz: tf.Tensor, name: str) -> tuple[Rule, Rule]:
    """The sample rate in a field of this name must be one that is resampled at a bounded cost."""
    low, high = SAMPLE_RATES_HZ
    even = tf.reduce_any([rate_hz % step == 0 for step in EVEN_RATES_HZ])
    return (
        (
            within(rate_hz, SAMPLE_RATES_HZ),
            f'{name}: sound is taken from {low} to {high} Hz, and resampled to 16000 Hz, got ',
            rate_hz, ' Hz',
        ),
        (
            (rate_hz <= MAX_ODD_RATE_HZ) | even,
            f'{name}: above {MAX_ODD_RATE_HZ} Hz sound is resampled to 16000 Hz from multiples of '
            f'{" and ".join(map(str, EVEN_RATES_HZ))} Hz, got ', rate_hz, ' Hz',
        ),
    )  # fmt: skip


def length_rule(num_samples: tf.Tensor, rate_hz: tf.Tensor, name: str) -> Rule:
    """The samples in a field of this name must not be more, or longer, than the bounds."""
    seconds = tf.cast(num_samples, tf.float32) / tf.cast(rate_hz, tf.float32)
    return (
        (seconds <= MAX_SECONDS) & (num_samples <= MAX_SAMPLES),
        f'{name}: at most {MAX_SECONDS} s and {MAX_SAMPLES} samples of sound, got ', seconds,
        ' s and ', num_samples, ' samples',
    )  # fmt: skip


def level_rule(samples: tf.Tensor, name: str) -> Rule:
    """Float samples [S] in a field of this name must be finite and about as loud as full scale."""
    # By `is_finite`: TensorFlow turns the opposite of `<=` into `>`, which NaN is not either.
    tame = tf.math.is_finite(samples) & (tf.abs(samples) <= MAX_AMPLITUDE)
    wild = tf.size(samples) - tf.math.count_nonzero(tame, dtype=tf.int32)
    return (
        wild == 0,
        f'{name}: samples must be finite and in [-1, 1], got ', wild,
        f' that are not, or beyond {MAX_AMPLITUDE:g}',
    )  # fmt: skip


def times_rule(num_samples: tf.Tensor, rate_hz: tf.Tensor, span_us: tf.Tensor, name: str) -> Rule:
    """So many samples at `rate_hz` must not contradict a clip of `span_us`, where it has both."""
    span = tf.cast(span_us, tf.float32) / 1e6
    samples, rate = tf.cast(num_samples, tf.float32), tf.cast(rate_hz, tf.float32)
    share, seconds = TIMES_SLACK
    fits = tf.abs(samples / rate - span) <= share * span + seconds
    seen = tf.cast(tf.round(tf.math.divide_no_nan(samples, span)), tf.int64)
    return (
        (num_samples == 0) | (span_us < SHORTEST_SPAN_US) | fits,
        f'{name}: ', rate_hz, ' Hz contradicts the times of the clip, by which it has ', seen,
        ' samples a second',
    )  # fmt: skip
