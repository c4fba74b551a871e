"""The contract of records: what a record holds, and how it is read.

A record is a tf.train.Example, or, for loaders built on DMVR such as the authors', a
tf.train.SequenceExample with frames and waveform in feature lists. Both are read by one function:
the messages share their first field, so that the context of the one is the features of the other.
Keys are those of MediaSequence / DMVR. A missing modality is an empty list, never a missing key:
what a record must have is decided here, in `_fault`.
Shapes: F stored frames, S samples at 16 kHz, k labels of a head.
"""

from collections.abc import Iterable, Mapping

import tensorflow as tf

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.config.heads import HEADS, LABEL
from avmae_tf.data import checks
from avmae_tf.data.sound import INT16_SCALE, resample

KEY = 'clip/key'
LABEL_INDEX = 'clip/label/index'
LABEL_TEXT = 'clip/label/text'
FILENAME = 'video/filename'
START_US = 'clip/start/timestamp'
END_US = 'clip/end/timestamp'
FRAMES = 'image/encoded'  # one JPEG each; DMVR: a feature each
FRAME_RATE = 'image/fps'
WAVEFORM = 'WAVEFORM/feature/bytes'  # one value: little-endian int16 samples
WAVEFORM_FLOATS = 'WAVEFORM/feature/floats'  # DMVR: all samples in one feature, in [-1, 1]
SAMPLE_RATE = 'audio/sample_rate'  # 16 kHz if it is not given
VALID_SAMPLES = 'audio/valid_samples'
STATUS = 'media/status'
FINGERPRINT = 'pipeline/fingerprint'

_PARSED = {  # feature: dtype, of everything the input pipeline reads beside labels
    KEY: tf.string,
    FRAMES: tf.string,
    FRAME_RATE: tf.float32,
    WAVEFORM: tf.string,
    WAVEFORM_FLOATS: tf.float32,
    START_US: tf.int64,
    END_US: tf.int64,
    SAMPLE_RATE: tf.int64,
}
_PARSED_LISTS = {FRAMES: tf.string, WAVEFORM_FLOATS: tf.float32}
BYTES_PER_SAMPLE = 2


def label_index_key(head: str) -> str:
    """The feature that holds the labels of `head` as indices of classes."""
    return LABEL_INDEX if head == LABEL else f'clip/label/{head}/index'


def label_text_key(head: str) -> str:
    """The feature that holds the labels of `head` as text."""
    return LABEL_TEXT if head == LABEL else f'clip/label/{head}/text'


def _parse(serialized: tf.Tensor, more: Mapping[str, tf.DType]) -> dict[str, tf.Tensor]:
    """All values by key of what is read of every record and of `more`, in either form."""
    context, lists = tf.io.parse_single_sequence_example(
        serialized,
        {k: tf.io.VarLenFeature(dtype) for k, dtype in (_PARSED | more).items()},
        {k: tf.io.VarLenFeature(dtype) for k, dtype in _PARSED_LISTS.items()},
    )
    values = {k: v.values for k, v in context.items()}
    return values | {k: _first_of(values[k], v.values) for k, v in lists.items()}


def _first_of(values: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Whichever holds something; joining the two would copy all media."""
    return tf.cond(tf.size(values) > 0, lambda: values, lambda: others)


def read_record(serialized: tf.Tensor, heads: Iterable[str] = ()) -> dict:
    """One serialized record to its key, labels, frames [F] (JPEG), rate, waveform [S], fault.

    Labels are {head: int64 [k]} of the `heads` asked for; the waveform is float32 in [-1, 1] at
    16 kHz, resampled from another `audio/sample_rate`. Records of others may lack the key, and the
    frame rate: it follows from the clip's times, or from the length of its sound. The fault is a
    sentence that names a field, its value and the rule, '' if there is none; what is no record at
    all is an error of TensorFlow.
    """
    parsed = _parse(serialized, {label_index_key(head): tf.int64 for head in heads})
    measured = _measure(parsed)
    rate_hz, fault = measured['sample_rate_hz'], _fault(serialized, parsed, measured)

    whole = tf.equal(fault, '')
    # What has a fault is emptied, since branches of the graph cost every record their time.
    samples = tf.io.decode_raw(tf.where(whole, parsed[WAVEFORM], ''), tf.int16)
    samples = tf.cast(tf.reshape(samples, [-1]), tf.float32) * (1 / INT16_SCALE)
    floats = parsed[WAVEFORM_FLOATS]
    waveform = _first_of(samples, floats[: tf.where(whole, tf.size(floats), 0)])
    return {
        'key': tf.strings.reduce_join(parsed[KEY]),
        'labels': {head: parsed[label_index_key(head)] for head in heads},
        'frames': parsed[FRAMES],
        'frames_per_second': measured['frames_per_second'],
        'waveform': resample(waveform, tf.where(whole, rate_hz, SAMPLE_RATE_HZ)),
        'fault': fault,
    }


def parse_record(serialized: tf.Tensor, heads: Iterable[str] = ()) -> dict:
    """As `read_record`; a record with a fault is an InvalidArgumentError that says it."""
    clip = read_record(serialized, heads)
    fault = clip.pop('fault')
    sentence = ['record', clip['key'], fault]
    # `tf.debugging.Assert` would be another branch.
    asserted = tf.raw_ops.Assert(condition=tf.equal(fault, ''), data=sentence)
    with tf.control_dependencies([asserted]):
        return tf.nest.map_structure(tf.identity, clip)


def measure_record(serialized: tf.Tensor) -> dict:
    """What there is to count in one serialized record; its media stay undecoded.

    Labels of all heads as {head: int64 [k]}, their texts as {head: string [k]} (none where the
    writer left them out), num_frames, frames_per_second, num_samples, sample_rate_hz, and the
    fault as of `read_record`.
    """
    indices = {label_index_key(head): tf.int64 for head in HEADS}
    texts = {label_text_key(head): tf.string for head in HEADS}
    parsed = _parse(serialized, {**indices, **texts})
    measured = _measure(parsed)
    return {
        'labels': {head: parsed[label_index_key(head)] for head in HEADS},
        'texts': {head: parsed[label_text_key(head)] for head in HEADS},
        **measured,
        'fault': _fault(serialized, parsed, measured),
    }


def _measure(parsed: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    num_bytes = tf.reduce_sum(tf.strings.length(parsed[WAVEFORM]))
    num_samples = num_bytes // BYTES_PER_SAMPLE + tf.size(parsed[WAVEFORM_FLOATS])
    rate_hz = tf.concat([parsed[SAMPLE_RATE], [SAMPLE_RATE_HZ]], axis=0)[0]
    span_us = _span_us(parsed)
    seconds = tf.where(
        span_us > 0,
        tf.cast(span_us, tf.float32) / 1e6,
        tf.cast(num_samples, tf.float32) / tf.cast(rate_hz, tf.float32),
    )
    num_frames = tf.size(parsed[FRAMES])
    derived = tf.math.divide_no_nan(tf.cast(num_frames, tf.float32), seconds)
    return {
        'num_frames': num_frames,
        'frames_per_second': tf.concat([parsed[FRAME_RATE], [derived]], axis=0)[0],
        'num_samples': num_samples,
        'sample_rate_hz': rate_hz,
    }


def _span_us(parsed: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.reduce_sum(parsed[END_US]) - tf.reduce_sum(parsed[START_US])


def _fault(serialized: tf.Tensor, parsed: dict, measured: dict) -> tf.Tensor:
    """What a record lacks or contradicts; '' if nothing."""
    num_samples, rate_hz = measured['num_samples'], measured['sample_rate_hz']
    sound, floats = parsed[WAVEFORM], parsed[WAVEFORM_FLOATS]
    num_bytes = tf.reduce_sum(tf.strings.length(sound))
    span_us = _span_us(parsed)
    return checks.first_broken(
        checks.key_rule(serialized, parsed[FRAMES], FRAMES),
        checks.key_rule(serialized, (sound, floats), WAVEFORM, WAVEFORM_FLOATS),
        (
            (tf.size(sound) <= 1) & (num_bytes % BYTES_PER_SAMPLE == 0),
            f'{WAVEFORM}: must be one value, of int16 samples, got ', tf.size(sound),
            ' values of ', num_bytes, ' bytes',
        ),
        checks.frame_rate_rule(measured['num_frames'], measured['frames_per_second'], FRAME_RATE),
        *checks.rate_rules(rate_hz, SAMPLE_RATE),
        checks.length_rule(num_samples, rate_hz, WAVEFORM),
        (
            (tf.size(parsed[END_US]) == 0) | (span_us >= 0),
            f'{END_US}: must not be before {START_US}, got ', tf.reduce_sum(parsed[END_US]),
            ' and ', tf.reduce_sum(parsed[START_US]),
        ),
        checks.times_rule(num_samples, rate_hz, span_us, SAMPLE_RATE),
        checks.level_rule(floats, WAVEFORM_FLOATS),
    )  # fmt: skip
