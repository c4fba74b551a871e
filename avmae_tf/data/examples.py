"""THE record contract: what a record holds, how it is written, and how it is read.

Keys are those of MediaSequence / DMVR. A missing modality is an empty list, never a missing key.
Shapes: F stored frames, S samples at 16 kHz.
"""

import numpy as np
import tensorflow as tf

KEY = 'clip/key'
LABEL_INDEX = 'clip/label/index'
LABEL_TEXT = 'clip/label/text'
FILENAME = 'video/filename'
START_US = 'clip/start/timestamp'
END_US = 'clip/end/timestamp'
FRAMES = 'image/encoded'  # one JPEG each
FRAME_RATE = 'image/fps'
WAVEFORM = 'WAVEFORM/feature/bytes'  # one value: little-endian int16 samples
SAMPLE_RATE = 'audio/sample_rate'
VALID_SAMPLES = 'audio/valid_samples'
STATUS = 'media/status'
FINGERPRINT = 'pipeline/fingerprint'

_PARSED = {  # feature: dtype, of everything the input pipeline reads
    KEY: tf.string,
    LABEL_INDEX: tf.int64,
    FRAMES: tf.string,
    FRAME_RATE: tf.float32,
    WAVEFORM: tf.string,
}


def _feature(value) -> tf.train.Feature:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    values = [v.encode() if isinstance(v, str) else v for v in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def write_example(
    *,
    key: str,
    filename: str,
    label_indices: tuple[int, ...],
    label_texts: tuple[str, ...],
    start_us: int,
    end_us: int,
    frames: tuple[bytes, ...],
    frames_per_second: float,
    waveform: np.ndarray,
    sample_rate_hz: int,
    valid_samples: int,
    status: tuple[str, ...],
    fingerprint: str,
) -> bytes:
    """A serialized tf.train.Example of one clip; `waveform` is int16 [S]."""
    features = {
        KEY: key,
        FILENAME: filename,
        LABEL_INDEX: label_indices,
        LABEL_TEXT: label_texts,
        START_US: start_us,
        END_US: end_us,
        FRAMES: frames,
        FRAME_RATE: float(frames_per_second),
        WAVEFORM: (waveform.astype('<i2').tobytes(),) if len(waveform) else (),
        SAMPLE_RATE: sample_rate_hz,
        VALID_SAMPLES: valid_samples,
        STATUS: status,
        FINGERPRINT: fingerprint,
    }
    features = {k: _feature(v) for k, v in features.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def parse_example(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """One serialized record to its key, labels [k], frames [F] (JPEG), rate, waveform [S].

    The waveform is float32 in [-1, 1].
    """
    parsed = tf.io.parse_single_example(
        serialized, {k: tf.io.VarLenFeature(dtype) for k, dtype in _PARSED.items()}
    )
    parsed = {k: v.values for k, v in parsed.items()}
    samples = tf.io.decode_raw(tf.strings.reduce_join(parsed[WAVEFORM]), tf.int16)
    return {
        'key': tf.strings.reduce_join(parsed[KEY]),
        'labels': parsed[LABEL_INDEX],
        'frames': parsed[FRAMES],
        'frames_per_second': tf.reduce_max(parsed[FRAME_RATE]),
        'waveform': tf.cast(samples, tf.float32) / 32768.0,
    }
