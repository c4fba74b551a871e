"""Records to batches of the paper's size, against decoding the same JPEGs and nothing else."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from avmae_tf.config import (
    PRETRAIN_RECIPES,
    AudioSpec,
    MediaSpec,
    PretrainConfig,
    VideoSpec,
)
from avmae_tf.config.heads import LABEL
from avmae_tf.config.splits import TRAIN
from avmae_tf.data.dataset import Dataset, Shard
from avmae_tf.data.inputs import training_batches
from avmae_tf.data.record_writer import write_record
from avmae_tf.data.synthetic import CLASSES, ClipStyle, draw_clip
from benchmarks.measure import Comparison, compare

BATCH, BATCHES = 16, 32  # an epoch in all: each round reads as many records as it hands on
SECONDS, RATE = 10.0, 8.0
HEIGHT, WIDTH = 256, 456  # as most videos are wide
# Few clips drawn, each stored many times: more than the window that is shuffled, as in production.
DRAWN, SHARDS, IN_SHARD = 4, 8, 64
TARGET = 1.45
CLIPS_PER_SECOND = 70  # of a core, at least


def draw_jpegs(label: int) -> tuple[tuple[bytes, ...], np.ndarray]:
    """JPEGs and int16 sound of a drawn clip."""
    style = ClipStyle(size_px=HEIGHT, frames_per_second=RATE, seconds=SECONDS)
    frames, waveform = draw_clip(label, seed=label, style=style)
    wide = (cv2.resize(frame, (WIDTH, HEIGHT)) for frame in frames)
    quality = [cv2.IMWRITE_JPEG_QUALITY, MediaSpec().jpeg_quality]
    jpegs = tuple(cv2.imencode('.jpg', frame[..., ::-1], quality)[1].tobytes() for frame in wide)
    return jpegs, (32767 * waveform).astype(np.int16)


def write_records(folder: Path, clips) -> Dataset:
    """Shards of `clips` over and over."""
    shards = [Shard(path=f'clips-{i}', num_examples=IN_SHARD) for i in range(SHARDS)]
    for shard in shards:
        with tf.io.TFRecordWriter(str(folder / shard.path)) as writer:
            for number in range(IN_SHARD):
                jpegs, waveform = clips[number % len(clips)]
                record = write_record(
                    key=f'{shard.path}/{number}',
                    filename='',
                    label_indices={LABEL: (number % len(clips),)},
                    label_texts={},
                    start_us=0,
                    end_us=round(SECONDS * 1e6),
                    frames=jpegs,
                    frames_per_second=RATE,
                    waveform=waveform,
                    sample_rate_hz=16_000,
                    valid_samples=len(waveform),
                    status=(),
                    fingerprint='',
                )
                writer.write(record)
    return Dataset(
        media=MediaSpec(), heads={LABEL: CLASSES}, splits={TRAIN: tuple(shards)}, fingerprint=''
    )


def decoded(clips, config: PretrainConfig) -> tf.data.Dataset:
    """The frames of a view, decoded."""
    spec = config.video
    chosen = np.round(np.arange(spec.num_frames) * RATE / spec.frames_per_second).astype(int)
    jpegs = tf.constant([[jpegs[i] for i in chosen] for jpegs, _ in clips])

    def decode(frames):
        return [
            tf.io.decode_jpeg(frame, channels=3, dct_method='INTEGER_FAST')
            for frame in tf.unstack(frames)
        ]

    frames = tf.data.Dataset.from_tensor_slices(jpegs).repeat()
    return frames.map(decode, num_parallel_calls=tf.data.AUTOTUNE)


def drain(iterator: Iterator, count: int):
    for _ in range(count):
        next(iterator)


def compare_all(folder: Path) -> list[Comparison]:
    clips = [draw_jpegs(label) for label in range(DRAWN)]
    demo = PRETRAIN_RECIPES['demo']
    config = PretrainConfig(**{**dict(demo), 'video': VideoSpec(), 'audio': AudioSpec()})
    dataset = write_records(folder, clips)
    batches = iter(training_batches(str(folder), dataset, config, batch_size=BATCH))
    bare = iter(decoded(clips, config))
    found = compare(
        subject=('records to batches', lambda: drain(batches, BATCHES)),
        reference=('decoding the JPEGs', lambda: drain(bare, BATCH * BATCHES)),
        unit='clip',
        count=BATCH * BATCHES,
        target=TARGET,
    )
    least = dataclasses.replace(
        found,
        reference=f'{CLIPS_PER_SECOND} a second and core',
        reference_value=1 / CLIPS_PER_SECOND,
        target=1.0,
    )
    return [found, least]
