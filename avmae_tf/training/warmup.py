"""Requests that TF Serving replays before it takes traffic."""

import io
import os
import wave

import numpy as np
import tensorflow as tf

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.data.record_writer import write_record
from avmae_tf.storage import gfile
from avmae_tf.training.serving import (
    CLIP_SIGNATURE,
    EMBED_SIGNATURE,
    FRAME_RATE,
    FRAMES,
    RECORD_SIGNATURE,
    RECORDS,
    SOUND,
)

WARMUP_FILE = 'assets.extra/tf_serving_warmup_requests'


def to_wav(waveform: np.ndarray, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """int16 [S] as the WAV file that the signatures take; b'' if S is 0."""
    if not len(waveform):
        return b''
    file = io.BytesIO()
    with wave.open(file, 'wb') as f:
        f.setnchannels(1)
        f.setsampwidth(waveform.itemsize)
        f.setframerate(rate_hz)
        f.writeframes(waveform.astype('<i2').tobytes())
    return file.getvalue()


def warmup_clip(seconds: float = 1.0, rate: float = 8.0) -> dict[str, np.ndarray]:
    """A grey, silent clip as a client would send it, a batch of one."""
    frame = tf.io.encode_jpeg(tf.fill([64, 64, 3], tf.constant(128, tf.uint8))).numpy()
    return {
        FRAMES: np.array([[frame] * round(seconds * rate)], dtype=object),
        FRAME_RATE: np.array([rate], np.float32),
        SOUND: np.array([to_wav(np.zeros(round(seconds * SAMPLE_RATE_HZ), np.int16))], object),
    }


def write_warmup(folder: str, name: str) -> None:
    """A request for each signature, into the SavedModel in `folder`, served as `name`."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2  # heavy import

    clip = warmup_clip()
    record = write_record(
        key='warm-up',
        filename='',
        label_indices={},
        label_texts={},
        start_us=0,
        end_us=1_000_000,
        frames=tuple(clip[FRAMES][0]),
        frames_per_second=float(clip[FRAME_RATE][0]),
        waveform=np.zeros(SAMPLE_RATE_HZ, np.int16),
        sample_rate_hz=SAMPLE_RATE_HZ,
        valid_samples=SAMPLE_RATE_HZ,
        status=(),
        fingerprint='',
    )
    requests = {
        RECORD_SIGNATURE: {RECORDS: np.array([record], object)},
        CLIP_SIGNATURE: clip,
        EMBED_SIGNATURE: clip,
    }
    path = os.path.join(folder, WARMUP_FILE)
    gfile(path).makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
