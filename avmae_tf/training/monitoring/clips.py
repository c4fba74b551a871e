"""Clips as people see them: in every row some frames of one beside its spectrogram."""

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avmae_tf.config import HOP_SAMPLES, NUM_MEL_BINS, SAMPLE_RATE_HZ, AudioSpec
from avmae_tf.data.audio import LOG_OFFSET, log_mel
from avmae_tf.data.records import parse_record
from avmae_tf.training.monitoring.charts import FAINT, INK

FILM_RATIO = 6.0  # width to height of a row of frames: as many as fill it
GAP = 0.03  # between two frames, of their height
WIDTH_INCHES, ROW_INCHES = 13.0, 1.75
FILM_PART = 0.64  # of the width of a row
LOUDEST = 3.0  # log-mel that is drawn brightest


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def read_clip(record: bytes) -> dict[str, tf.Tensor]:
    """A clip of a record, by a graph that is traced once, not for each clip."""
    return parse_record(record)


def film(jpegs: list[bytes]) -> np.ndarray:
    """Frames side by side from the first JPEG to the last, uint8 [height, width, 3]."""
    height, width = tf.io.extract_jpeg_shape(jpegs[0])[:2].numpy().tolist()
    count = max(1, round(FILM_RATIO * height / width))
    chosen = np.linspace(0, len(jpegs) - 1, count).round().astype(int)
    frames = [tf.io.decode_jpeg(jpegs[i], channels=3).numpy() for i in chosen]
    gap = np.full((height, max(1, round(GAP * height)), 3), 255, np.uint8)
    return np.concatenate([part for frame in frames for part in (frame, gap)][:-1], axis=1)


def _blank(axis: Axes, text: str):
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha='center', va='center', color=INK)
    axis.set_facecolor('#f4f6f8')


def _draw_film(axis: Axes, jpegs: list[bytes]):
    if jpegs:
        axis.imshow(film(jpegs), interpolation='lanczos')
        axis.set_anchor('W')
    else:
        _blank(axis, 'no video')
    axis.set_xticks([])
    axis.set_yticks([])


def _draw_spectrogram(axis: Axes, waveform: tf.Tensor, seconds: float):
    spec = AudioSpec(seconds=max(waveform.shape[0], HOP_SAMPLES) / SAMPLE_RATE_HZ, patch=(1, 16))
    if waveform.shape[0]:
        axis.imshow(
            log_mel(waveform, spec)[..., 0].numpy().T,
            origin='lower',
            aspect='auto',
            cmap='magma',
            vmin=np.log(LOG_OFFSET),
            vmax=LOUDEST,
            extent=(0.0, spec.seconds, 0, NUM_MEL_BINS),
        )
    else:
        _blank(axis, 'no sound')
    axis.set_xlim(0.0, seconds)
    axis.set_yticks([0, NUM_MEL_BINS // 2, NUM_MEL_BINS])
    axis.tick_params(length=2, labelsize=7, colors=INK)


def sheet(records: list[bytes], titles: list[str]) -> Figure:
    """Serialized clips, one in a row below its title: frames over its length, log-mel."""
    height = ROW_INCHES * len(records) + 0.4
    figure = Figure(figsize=(WIDTH_INCHES, height))
    axes = figure.subplots(
        len(records), 2, squeeze=False, width_ratios=(FILM_PART, 1 - FILM_PART)
    )  # fmt: skip
    for record, title, (left, right) in zip(records, titles, axes, strict=True):
        clip = read_clip(record)
        jpegs, waveform = list(clip['frames'].numpy()), clip['waveform']
        filmed = len(jpegs) / float(clip['frames_per_second']) if jpegs else 0.0
        seconds = max(filmed, waveform.shape[0] / SAMPLE_RATE_HZ, 0.01)
        _draw_film(left, jpegs)
        _draw_spectrogram(right, waveform, seconds)
        left.set_title(title, loc='left', color=INK, fontsize=9)
        key = clip['key'].numpy().decode()
        right.set_title(f'{key}   {seconds:.1f} s', loc='left', color=INK, fontsize=7)
        for axis in (left, right):
            axis.spines[:].set_color(FAINT)
    axes[0, 1].set_ylabel('mel band', fontsize=8, color=INK)
    axes[-1, 1].set_xlabel('seconds', fontsize=8, color=INK)
    return figure
