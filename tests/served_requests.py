"""Requests to a SavedModel: clips of any size as a client would send them, and records."""

import cv2
import numpy as np
import tensorflow as tf

from avmae_tf.training.warmup import to_wav


def picture(side: int, shift: int = 0) -> np.ndarray:
    """The same colours at any size, uint8 [side, side * 5 / 4, 3]."""
    colours = np.random.default_rng(shift).integers(0, 256, [4, 5, 3]).astype(np.uint8)
    size = (side * 5 // 4, side)
    return cv2.resize(colours, size, interpolation=cv2.INTER_LINEAR)


def jpeg(pixels: np.ndarray, *, quality: int = 95, progressive: bool = False) -> bytes:
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    return cv2.imencode('.jpg', pixels, settings)[1].tobytes()


def tone(rate_hz: int = 16000, seconds: float = 1.0) -> np.ndarray:
    """int16 at any rate."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.round(6000 * np.sin(2 * np.pi * 440 * times * (1 + times))).astype(np.int16)


def clip(*, side: int = 32, num_frames: int = 8, **changes) -> dict:
    """Fields of one clip."""
    frames = [jpeg(picture(side, shift)) for shift in range(num_frames)]
    fields = {'frames': frames, 'frames_per_second': 8.0, 'audio': to_wav(tone())}
    return {**fields, **changes}


def request(*clips: dict) -> dict[str, tf.Tensor]:
    longest = max(len(x['frames']) for x in clips)
    frames = [[*x['frames'], *[b''] * (longest - len(x['frames']))] for x in clips]
    return {
        'frames': tf.constant(frames, tf.string, shape=[len(clips), longest]),
        'frames_per_second': tf.constant([x['frames_per_second'] for x in clips], tf.float32),
        'audio': tf.constant([x['audio'] for x in clips]),
    }


def record(*, frames=(), samples=None, floats=None, without=(), **features) -> bytes:
    """A tf.train.Example of these media and features, or one that lacks some keys."""
    values = {
        'image/encoded': list(frames),
        'image/fps': [8.0],
        'WAVEFORM/feature/bytes': [] if samples is None else [samples.tobytes()],
        'clip/start/timestamp': [0],
        'clip/end/timestamp': [1_000_000],
        **features,
    }
    if floats is not None:
        values['WAVEFORM/feature/floats'] = [float(x) for x in floats]
    example = tf.train.Example()
    for key, value in values.items():
        if key in without:
            continue
        feature = example.features.feature[key]
        kind = {bytes: 'bytes_list', float: 'float_list', int: 'int64_list'}
        if value:
            getattr(feature, kind[type(value[0])]).value.extend(value)
    return example.SerializeToString()
