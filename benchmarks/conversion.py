"""Videos to clips against a bare decoder, and the Beam job against a plain loop."""

import shutil
import subprocess
import uuid
from pathlib import Path

import apache_beam as beam
import av
import cv2
import numpy as np
import tensorflow as tf

from avmae_tf.config import MediaSpec
from avmae_tf.data.synthetic import ClipStyle, draw_clip, encode_mp4
from beam_jobs.convert import convert
from beam_jobs.datasets import build_manifest
from beam_jobs.manifests import Manifest
from beam_jobs.runners import local_pipeline
from beam_jobs.shards import plan_job
from beam_jobs.video_to_records import convert_rows
from beam_jobs.workers import decode_clip
from benchmarks.measure import Comparison, compare

SECONDS, RATE = 10.0, 25.0
HEIGHT, WIDTH = 720, 1280
VIDEOS = 16  # of the job: the same clip under many names
DECODING_TARGET, BEAM_TARGET = 1.35, 1.15


def write_video(path: Path):
    """A drawn clip of the size that data sets are distributed in."""
    style = ClipStyle(size_px=HEIGHT, frames_per_second=RATE, seconds=SECONDS)
    frames, waveform = draw_clip(0, seed=0, style=style)
    wide = np.stack([cv2.resize(frame, (WIDTH, HEIGHT)) for frame in frames])
    encode_mp4(path, wide, waveform, frames_per_second=RATE)


def decode_bare(path: Path):
    """Every frame and every sample, on one thread, to nowhere: the ffmpeg program if it is here."""
    if ffmpeg := shutil.which('ffmpeg'):
        command = [ffmpeg, '-v', 'error', '-threads', '1', '-i', str(path), '-f', 'null', '-']
        subprocess.run(command, check=True)
        return
    with av.open(str(path)) as container:
        for stream in container.streams:
            stream.codec_context.thread_type = 'NONE'
        for packet in container.demux():
            packet.decode()


def one_worker() -> beam.Pipeline:
    """As many threads as the loop has: two that share a core's caches cost more each."""
    return local_pipeline(['--direct_num_workers=1'])


def convert_plainly(manifest: Manifest, media: MediaSpec, out: Path):
    """What the Beam job does, without Beam."""
    out.mkdir()
    planned = plan_job(manifest, media)
    for number, plan in enumerate(planned.shards):
        with tf.io.TFRecordWriter(str(out / f'{number}')) as writer:
            for _, (record, _) in convert_rows(plan.rows, planned.job):
                writer.write(record)


def compare_all(folder: Path) -> list[Comparison]:
    media = MediaSpec()
    videos = folder / 'videos'
    videos.mkdir()
    write_video(videos / '0.mp4')
    for number in range(1, VIDEOS):
        shutil.copy(videos / '0.mp4', videos / f'{number}.mp4')
    manifest = build_manifest(str(videos))
    names = [f'{number}.mp4' for number in range(4)]  # that hundredths of a second make no odds

    def fresh() -> Path:
        return folder / uuid.uuid4().hex

    def convert_with_beam():
        convert(manifest, str(fresh()), media, make_pipeline=one_worker)

    bare = 'ffmpeg' if shutil.which('ffmpeg') else 'PyAV'
    return [
        compare(
            subject=(
                'a worker: JPEGs and 16 kHz sound',
                lambda: [decode_clip(videos / name, media) for name in names],
            ),
            reference=(
                f'bare decoding, {bare}',
                lambda: [decode_bare(videos / name) for name in names],
            ),
            unit='clip',
            count=len(names),
            target=DECODING_TARGET,
        ),
        compare(
            subject=('conversion with Beam', convert_with_beam),
            reference=('a plain loop', lambda: convert_plainly(manifest, media, fresh())),
            unit='clip',
            count=VIDEOS,
            target=BEAM_TARGET,
            repeats=3,
        ),
    ]
