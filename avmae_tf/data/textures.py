"""Generated clips of which few labels tell little: a patterned disc that flashes with its notes.

The class is (pattern, timbre): what repeats inside of the disc, and how a note sounds. All else
varies from clip to clip and tells nothing: two colours of the disc and two of the background, the
disc's place, size and drift, the pattern's turn, scale and phase, pitch, loudness, noise. A few
clips do not show which of it is the class; many clips without a label show what patterns and sounds
there are, since that is what hidden patches are filled in by. Notes and flashes have one cause, as
in `synthetic`: their times and strengths are the same.

Shapes: T frames, H rows, W columns. Places are fractions of the picture from its centre.
"""

import colorsys
import math
from collections.abc import Sequence

import numpy as np

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.data.synthetic import LOWEST_HZ, OCTAVES, PARTIALS, draw_impacts, note

PATTERNS = {  # of the coordinates u and v of a place, and of a centre; from about -1 to 1
    'stripes': lambda u, v, centre: np.sin(u),
    'checks': lambda u, v, centre: 1.5 * np.sin(u) * np.sin(v),
    'rings': lambda u, v, centre: np.sin(np.hypot(u - centre[0], v - centre[1])),
    'hexagons': lambda u, v, centre: (
        0.6 * sum(np.sin(math.cos(a) * u + math.sin(a) * v) for a in np.arange(3) * math.pi / 3)
    ),
}
CLASSES = tuple(f'{pattern}+{timbre}' for pattern in PATTERNS for timbre in PARTIALS)

DESIGN = 1  # raise it when `draw_clip` changes
SIZE_PX, FRAMES_PER_SECOND, SECONDS = 48, 4.0, 2.0
PICTURE_NOISE, SOUND_NOISE = 0.08, 0.02  # standard deviations; white is 1, full scale is 1
QUIET_END_SECONDS = 0.2
FLASH_SECONDS = 0.3


def draw_clip(label: int, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """One clip of class `CLASSES[label]`; the same arguments give the same clip.

    Returns frames, uint8 [T, H, W, 3], and 16 kHz mono samples in [-1, 1], float32 [samples].
    """
    rng = np.random.default_rng([*seed, label])
    pattern, timbre = CLASSES[label].split('+')
    impacts = draw_impacts(rng, SECONDS)
    notes = impacts[(impacts[:, 0] >= 0.0) & (impacts[:, 0] <= SECONDS - QUIET_END_SECONDS)]
    return _draw_frames(pattern, notes, rng), _draw_sound(timbre, notes, rng)


def _draw_frames(pattern: str, notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    times = np.arange(round(SECONDS * FRAMES_PER_SECOND)) / FRAMES_PER_SECOND
    age = times[:, None] - notes[:, 0]
    flash = np.where(age >= 0, notes[:, 2] * np.exp(-abs(age) / FLASH_SECONDS), 0.0)
    flash = flash.max(axis=1, initial=0.0)
    places = (np.arange(SIZE_PX, dtype=np.float32) + 0.5) / SIZE_PX - 0.5
    rows, columns = places[:, None], places[None, :]

    light, dark = _colour(rng), _colour(rng)
    waves = sum(
        np.sin(rng.uniform(2, 14) * columns + rng.uniform(-14, 14) * rows + rng.uniform(0, 6.3))
        for _ in range(4)
    )
    mix = (0.5 + waves / 8)[..., None]
    room = 0.6 * (mix * _colour(rng) + (1.0 - mix) * _colour(rng))
    turn, scale = rng.uniform(0, 2 * math.pi), rng.uniform(18, 36)
    phase, drift, centre = rng.uniform(0, 6.3, 2), rng.uniform(-2, 2, 2), rng.uniform(-4, 4, 2)
    radius, place, path = rng.uniform(0.3, 0.45), *rng.uniform(-0.25, 0.25, (2, 2))
    noise = rng.standard_normal((len(times), SIZE_PX, SIZE_PX, 1), dtype=np.float32)
    frames = np.empty((len(times), SIZE_PX, SIZE_PX, 3), np.uint8)
    for i, t in enumerate(times.tolist()):
        x, y = columns - place[0] - 0.5 * path[0] * t, rows - place[1] - 0.5 * path[1] * t
        u = scale * (math.cos(turn) * x - math.sin(turn) * y) + phase[0] + drift[0] * t
        v = scale * (math.sin(turn) * x + math.cos(turn) * y) + phase[1] + drift[1] * t
        share = (0.5 + 0.5 * np.clip(PATTERNS[pattern](u, v, centre), -1, 1))[..., None]
        disc = light * share + dark * (1.0 - share)
        disc += 0.5 * flash[i] * (1.0 - disc)
        inside = 1.0 / (1.0 + np.exp(60.0 * (np.hypot(x, y) - radius)))[..., None]
        picture = room + inside * (disc - room) + PICTURE_NOISE * noise[i]
        frames[i] = np.clip(picture, 0.0, 1.0) * 255.0 + 0.5
    return frames


def _colour(rng: np.random.Generator) -> np.ndarray:
    hue, saturation, value = rng.uniform((0.0, 0.2, 0.3), (1.0, 0.9, 1.0))
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def _draw_sound(timbre: str, notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    samples = SOUND_NOISE * rng.standard_normal(round(SECONDS * SAMPLE_RATE_HZ), dtype=np.float32)
    loudness = rng.uniform(0.15, 0.5)
    for seconds, place, strength in notes.tolist():
        rest = samples[round(seconds * SAMPLE_RATE_HZ) :][:SAMPLE_RATE_HZ]
        rest += (
            loudness * strength * note(timbre, LOWEST_HZ * 2 ** (OCTAVES * place), rest.size, rng)
        )
    return np.clip(samples, -1.0, 1.0)
