"""Generated clips of which few labels tell little: a drifting shape that flashes to its notes.

A class has a shape and a timbre of its own, so that picture and sound each tell it. All else varies
from clip to clip and tells nothing: the colours of shape and background, place, drift, size and
turn, the clouds behind it, pitch, loudness, noise. A few labelled clips do not show which of it is
the class. Many without a label do show what there is to tell apart: hidden patches can only be
filled in by who has understood where the shape is and which, and what a note of that timbre goes
on like. Notes and flashes have one cause, as in `synthetic`.

Shapes: T frames, H rows, W columns. Places are fractions of the picture from its centre, x to the
right, y up.
"""

import colorsys
import dataclasses
import math
from typing import ClassVar

import numpy as np

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.data.notes import MORE_PARTIALS, QUIET_END_SECONDS, draw_impacts, note, pitch_hz

SHAPES = {  # distance from (u, v) to an outline of radius 1, negative inside
    'square': lambda u, v: np.maximum(abs(u), abs(v)) - 0.85,
    'ring': lambda u, v: abs(np.hypot(u, v) - 0.75) - 0.25,
    'triangle': lambda u, v: np.maximum(-v - 0.6, 0.866 * abs(u) + 0.5 * v - 0.6),
    'cross': lambda u, v: np.maximum(
        np.maximum(abs(u), abs(v)) - 1.0, np.minimum(abs(u), abs(v)) - 0.34
    ),
    'disc': lambda u, v: np.hypot(u, v) - 0.95,
    'bar': lambda u, v: np.maximum(abs(u) - 1.0, abs(v) - 0.3),
    'bowl': lambda u, v: np.maximum(np.hypot(u, v - 0.4) - 1.05, v - 0.4),
    'frame': lambda u, v: abs(np.maximum(abs(u), abs(v)) - 0.7) - 0.2,
}
CLASSES = tuple(f'{a}+{b}' for a, b in zip(SHAPES, MORE_PARTIALS, strict=True))

BEFORE_SECONDS = 0.5  # a note that began so long before the clip still sounds in it
FLASH_SECONDS = 0.3
TURN, DRIFT, PLACE = 0.15, 0.2, 0.12  # at most: radians, a second, and from the centre
RADIUS = (0.3, 0.36)
CLOUDS, CONTRAST = 0.3, 0.3  # of the background's two colours; of the shape to their mean
PICTURE_NOISE, SOUND_NOISE = 0.04, 0.02  # standard deviations; white is 1, full scale is 1


@dataclasses.dataclass(frozen=True)
class EmblemStyle:
    """Size, rate and length of a clip."""

    size_px: int = 48
    frames_per_second: float = 4.0
    seconds: float = 1.0

    design: ClassVar[str] = 'emblems 1'  # another one when `draw` changes
    classes: ClassVar[tuple[str, ...]] = CLASSES

    def draw(self, label: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """One clip of class `CLASSES[label]`; the same arguments give the same clip.

        Returns frames, uint8 [T, H, W, 3], and 16 kHz mono samples in [-1, 1], float32 [samples].
        """
        rng = np.random.default_rng([seed, label])
        shape, timbre = CLASSES[label].split('+')
        impacts = draw_impacts(rng, self.seconds)
        latest = self.seconds - QUIET_END_SECONDS
        notes = impacts[(impacts[:, 0] >= -BEFORE_SECONDS) & (impacts[:, 0] <= latest)]
        return _draw_frames(shape, notes, self, rng), _draw_sound(timbre, notes, self, rng)


def _draw_frames(
    shape: str, notes: np.ndarray, style: EmblemStyle, rng: np.random.Generator
) -> np.ndarray:
    times = np.arange(round(style.seconds * style.frames_per_second)) / style.frames_per_second
    age = times[:, None] - notes[:, 0]
    flash = np.where(age >= 0, notes[:, 2] * np.exp(-abs(age) / FLASH_SECONDS), 0.0)
    flash = flash.max(axis=1, initial=0.0)
    columns = ((np.arange(style.size_px, dtype=np.float32) + 0.5) / style.size_px - 0.5)[None, :]
    rows = -columns.T

    one, other = _colour(rng), _colour(rng)
    waves = sum(
        np.sin(rng.uniform(2, 10) * columns + rng.uniform(-10, 10) * rows + rng.uniform(0, 6.3))
        for _ in range(3)
    )
    mix = (0.5 + CLOUDS * waves / 6)[..., None]
    room, paint = mix * one + (1.0 - mix) * other, _colour(rng)
    while np.abs(paint - (one + other) / 2).mean() < CONTRAST:
        paint = _colour(rng)
    radius, turn = rng.uniform(*RADIUS), rng.uniform(-TURN, TURN)
    place, drift = rng.uniform(-PLACE, PLACE, 2), rng.uniform(-DRIFT, DRIFT, 2)
    noise = rng.standard_normal((len(times), style.size_px, style.size_px, 1), dtype=np.float32)
    frames = np.empty((len(times), style.size_px, style.size_px, 3), np.uint8)
    for i, t in enumerate((times - style.seconds / 2).tolist()):
        x, y = columns - place[0] - drift[0] * t, rows - place[1] - drift[1] * t
        u = (math.cos(turn) * x - math.sin(turn) * y) / radius
        v = (math.sin(turn) * x + math.cos(turn) * y) / radius
        inside = np.clip(0.5 - radius * style.size_px * SHAPES[shape](u, v), 0.0, 1.0)[..., None]
        bright = paint + 0.5 * flash[i] * (1.0 - paint)
        picture = room + inside * (bright - room) + PICTURE_NOISE * noise[i]
        frames[i] = np.clip(picture, 0.0, 1.0) * 255.0 + 0.5
    return frames


def _colour(rng: np.random.Generator) -> np.ndarray:
    hue, saturation, value = rng.uniform((0.0, 0.2, 0.3), (1.0, 0.9, 1.0))
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def _draw_sound(
    timbre: str, notes: np.ndarray, style: EmblemStyle, rng: np.random.Generator
) -> np.ndarray:
    before, length = (round(s * SAMPLE_RATE_HZ) for s in (BEFORE_SECONDS, style.seconds))
    samples = SOUND_NOISE * rng.standard_normal(before + length, dtype=np.float32)
    loudness = rng.uniform(0.15, 0.5)
    for seconds, place, strength in notes.tolist():
        rest = samples[before + round(seconds * SAMPLE_RATE_HZ) :][:SAMPLE_RATE_HZ]  # at most 1 s
        rest += loudness * strength * note(timbre, pitch_hz(place), rest.size, rng)
    return np.clip(samples[before:], -1.0, 1.0)
