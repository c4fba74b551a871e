"""What generated clips are about: when something happens, and the note that it plays.

The timbres are one half of a class (`synthetic`, `textures`).
"""

import math

import numpy as np
from numpy.random import Generator

from avmae_tf.config import SAMPLE_RATE_HZ

PARTIALS = {  # of a timbre: (ratio to the pitch, level)
    'flute': ((1.0, 0.9), (2.0, 0.1)),
    'clarinet': ((1.0, 0.33), (3.0, 0.22), (5.0, 0.18), (7.0, 0.15), (9.0, 0.12)),
    'bell': ((1.0, 0.4), (2.76, 0.28), (5.40, 0.2), (8.93, 0.12)),
    'snare': (),  # no partials but a burst of noise around the pitch
}
MORE_PARTIALS = {  # of timbres that `synthetic` does not have
    **PARTIALS,
    'whistle': ((1.0, 1.0),),
    'organ': ((1.0, 0.35), (2.0, 0.3), (4.0, 0.2), (8.0, 0.15)),
    'string': tuple((float(n), 0.4 / n) for n in range(1, 10)),
    'marimba': ((1.0, 0.7), (3.93, 0.3)),
}
DECAY_SECONDS = 0.3
LOWEST_HZ, OCTAVES = 220.0, 2.0  # left to right; the highest partial stays below 8 kHz
QUIET_END_SECONDS = 0.2  # no impact so late that no frame would show it


def draw_impacts(rng: Generator, seconds: float) -> np.ndarray:
    """The shared causes, [impacts, 3]: seconds, place and strength in [0, 1]; some lie outside."""
    times = np.cumsum(rng.uniform(0.4, 0.7, size=5 + math.ceil(seconds / 0.4))) - 1.4
    places, strengths = rng.uniform(size=times.size), rng.uniform(0.35, 1.0, size=times.size)
    return np.stack([times, places, strengths], axis=1)


def pitch_hz(place: float) -> float:
    """The pitch of a note from its place, 0 at the left to 1 at the right."""
    return LOWEST_HZ * 2 ** (OCTAVES * place)


def note(timbre: str, pitch_hz: float, num_samples: int, rng: Generator) -> np.ndarray:
    """A note from its onset on, float32 [num_samples], with levels near 1."""
    t = np.arange(num_samples, dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)
    turns = 2.0 * math.pi * pitch_hz * t
    fade = np.minimum(t / 0.005, 1.0) * np.exp(-t / DECAY_SECONDS)
    if timbre == 'snare':
        hiss = np.cumsum(rng.standard_normal(num_samples + 16, dtype=np.float32))
        band = 0.25 * (hiss[16:] - hiss[:-16])  # below 500 Hz, and the sine lifts it
        return fade**2 * (0.6 * band * np.sin(turns) + 0.15 * (hiss[16:] - hiss[15:-1]))
    if timbre == 'flute':
        turns += 2.0 * np.sin(2.0 * math.pi * 6.0 * t)  # vibrato
    return fade * sum(level * np.sin(ratio * turns) for ratio, level in MORE_PARTIALS[timbre])
