"""Mutated media files through the workers: each is a clip or a reason, within the limits.

python tests/beam_jobs/fuzz_media.py 300 [first seed]
"""

import collections
import functools
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import mischief
import numpy as np
from awkward import FAST_START, FFV1, PCM, TS, WEBM
from clock_movies import check_clip, write_movie

from avmae_tf.config import ClipLimits, MediaSpec
from beam_jobs import workers
from beam_jobs.media import Clip, Reason, Wanted

SPEC = MediaSpec(shorter_side_px=64, required=())
LIMITS = ClipLimits(seconds=60, cpu_seconds=10, memory_mb=512)
IDLE_MB = 150  # of a worker
FORMATS = {
    'mp4': FAST_START,
    'h264.mp4': {'video': 'libx264', **FAST_START},
    'mkv': {**FFV1, 'audio': 'flac', 'sample_format': 's16'},
    'webm': WEBM,
    'ts': TS,
    'mpg': TS,
    'avi': {**PCM, 'rate': 22_050},
    'mov': {**PCM, 'layout': '7.1'},
    'flv': {'video': 'flv'},
    'wav': {'video': None, **PCM},
    'gif': {'video': 'gif', 'pix_fmt': 'rgb8', 'audio': None, 'time_base': Fraction(1, 100)},
}
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 50_000_000)


def flip(data, rng, _):
    where = rng.integers(0, len(data), rng.integers(1, 50))
    data[where] ^= (1 << rng.integers(0, 8, len(where))).astype(np.uint8)
    return data


def cut(data, rng, _):
    return data[: rng.integers(1, len(data))]


def lose(data, rng, _):
    first, last = np.sort(rng.integers(0, len(data), 2))
    return np.concatenate([data[:first], data[last:]])


def splice(data, rng, other):
    return np.concatenate([data[: rng.integers(1, len(data))], other[rng.integers(len(other)) :]])


def repeat(data, rng, _):
    first, last = np.sort(rng.integers(0, len(data), 2))
    return np.concatenate([data[:last], *[data[first:last]] * rng.integers(1, 20), data[last:]])


def edit_header(data, rng, _):
    for _ in range(rng.integers(1, 6)):
        width = int(rng.choice([1, 2, 4]))
        at = rng.integers(0, min(len(data), 4096) - width)
        value = int(rng.choice(EXTREMES)) % (1 << 8 * width)
        order = rng.choice(['big', 'little'])
        data[at : at + width] = np.frombuffer(value.to_bytes(width, str(order)), np.uint8)
    return data


MUTATIONS = (flip, cut, lose, splice, repeat, edit_header, edit_header)


def fuzz(folder: Path, count: int, first_seed: int = 0) -> collections.Counter:
    """How often there was which outcome; whatever else happens raises."""
    whole = {}
    for name, settings in FORMATS.items():
        path = folder / f'whole.{name}'
        settings = {key: value for key, value in settings.items() if key != 'filename'}
        write_movie(path, seconds=2, **settings)
        whole[name] = np.frombuffer(path.read_bytes(), np.uint8)
    ask = functools.partial(mischief.next_clip_by, mischief.peak)
    real, workers._next_clip = workers._next_clip, ask
    counts = collections.Counter()
    try:
        for seed in range(first_seed, first_seed + count):
            rng = np.random.default_rng(seed)
            name, other = rng.choice([*FORMATS], 2)
            path = folder / f'mutated.{name}'
            mutate = MUTATIONS[seed % len(MUTATIONS)]
            path.write_bytes(mutate(whole[name].copy(), rng, whole[other]).tobytes())
            wanted = [Wanted()] if seed % 2 else [Wanted(0.2, 0.9), Wanted(1.1, 1.9)]
            before = time.monotonic()
            outcomes = list(workers.decode_clips(str(path), wanted, SPEC, LIMITS))
            assert time.monotonic() - before < 2 * len(wanted) * LIMITS.seconds, seed
            assert len(outcomes) == len(wanted), seed
            for outcome in outcomes:
                if isinstance(outcome, tuple):  # the worker lives
                    outcome, peak_mb = outcome
                    assert peak_mb < LIMITS.memory_mb + IDLE_MB, (seed, peak_mb)
                if isinstance(outcome, Clip):
                    check_clip(outcome)
                    assert np.isfinite(outcome.rms), seed
                    counts['clip'] += 1
                else:
                    assert outcome.reason is not Reason.INTERNAL_ERROR, (seed, outcome)
                    counts[outcome.reason.value] += 1
    finally:
        workers._next_clip = real
    return counts


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        print(dict(fuzz(Path(folder), *map(int, sys.argv[1:]))))
