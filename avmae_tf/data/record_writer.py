"""Clips to records, in either of the two forms that `avmae_tf.data.records` reads."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from avmae_tf.config.heads import HEADS
from avmae_tf.data.records import (
    END_US,
    FILENAME,
    FINGERPRINT,
    FRAME_RATE,
    FRAMES,
    KEY,
    LABEL_INDEX,
    LABEL_TEXT,
    SAMPLE_RATE,
    START_US,
    STATUS,
    VALID_SAMPLES,
    WAVEFORM,
    WAVEFORM_FLOATS,
    label_index_key,
    label_text_key,
)
from avmae_tf.data.sound import INT16_SCALE

EXAMPLE, DMVR = FORMATS = ('example', 'dmvr')


def _feature(value) -> tf.train.Feature:
    if isinstance(value, np.ndarray):
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    values = [v.encode() if isinstance(v, str) else v for v in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _features(values: Mapping) -> tf.train.Features:
    return tf.train.Features(feature={k: _feature(v) for k, v in values.items()})


def write_record(
    *,
    key: str,
    filename: str,
    label_indices: Mapping[str, tuple[int, ...]],
    label_texts: Mapping[str, tuple[str, ...]],
    start_us: int,
    end_us: int,
    frames: tuple[bytes, ...],
    frames_per_second: float,
    waveform: np.ndarray,
    sample_rate_hz: int,
    valid_samples: int,
    status: tuple[str, ...],
    fingerprint: str,
    record_format: str = EXAMPLE,
) -> bytes:
    """One clip, serialized; `waveform` is int16 [S], labels are by head."""
    features = {
        KEY: key,
        FILENAME: filename,
        **_labels(label_indices, label_texts),
        START_US: start_us,
        END_US: end_us,
        FRAME_RATE: float(frames_per_second),
        SAMPLE_RATE: sample_rate_hz,
        VALID_SAMPLES: valid_samples,
        STATUS: status,
        FINGERPRINT: fingerprint,
    }
    if record_format == DMVR:
        lists = {
            FRAMES: frames,
            WAVEFORM_FLOATS: (waveform / np.float32(INT16_SCALE),) if len(waveform) else (),
        }
        record = tf.train.SequenceExample(
            context=_features(features),
            feature_lists=tf.train.FeatureLists(
                feature_list={
                    k: tf.train.FeatureList(feature=map(_feature, v)) for k, v in lists.items()
                }
            ),
        )
    else:
        samples = (waveform.astype('<i2').tobytes(),) if len(waveform) else ()
        record = tf.train.Example(
            features=_features({**features, FRAMES: frames, WAVEFORM: samples})
        )
    return record.SerializeToString(deterministic=True)


def relabelled(
    record: bytes,
    *,
    label_indices: Mapping[str, tuple[int, ...]],
    label_texts: Mapping[str, tuple[str, ...]],
    fingerprint: str,
    record_format: str = EXAMPLE,
) -> tuple[bytes, tuple[str, ...]]:
    """What `write_record` would have made of the same clip with these labels, and its status."""
    if record_format == DMVR:
        parsed = tf.train.SequenceExample.FromString(record)
        features = parsed.context.feature
    else:
        parsed = tf.train.Example.FromString(record)
        features = parsed.features.feature
    for key in (name(head) for head in HEADS for name in (label_index_key, label_text_key)):
        features.pop(key, None)
    for key, value in {**_labels(label_indices, label_texts), FINGERPRINT: fingerprint}.items():
        features[key].CopyFrom(_feature(value))
    status = tuple(value.decode() for value in features[STATUS].bytes_list.value)
    return parsed.SerializeToString(deterministic=True), status


def _labels(
    indices: Mapping[str, tuple[int, ...]], texts: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple]:
    return {
        LABEL_INDEX: (),
        LABEL_TEXT: (),
        **{label_index_key(head): values for head, values in indices.items()},
        **{label_text_key(head): values for head, values in texts.items()},
    }
