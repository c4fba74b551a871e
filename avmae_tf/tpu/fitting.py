"""How many clips of a recipe fit a core, found with few compilations."""

import math
from collections.abc import Mapping

from avmae_tf.tpu.compiler import CompiledStep

FIRST = 8


def next_attempt(
    tried: Mapping[int, CompiledStep], most: int, memory_gib: float, first: int = FIRST
) -> int:
    """Clips to compile a step with next, towards the largest power of two that fits; 0 at the end.

    `tried` are the attempts so far by clips, of which `most` are the batch of all cores. What is
    temporary grows with the clips, on a line: where it leads decides, and costs no compilation.
    `first` is the guess where nothing is known.
    """
    if not tried:
        return min(first, most)
    if not {step.outcome for step in tried.values()} <= {'compiles', 'too large'}:
        return 0
    fit = max((n for n, step in tried.items() if step.outcome == 'compiles'), default=0)
    too_many = min((n for n, step in tried.items() if n > fit), default=2 * most)
    once, of_a_clip = _line(tried)
    clips = max((memory_gib - once) / of_a_clip, 1.0)
    guess = min(2 ** int(math.log2(clips)), too_many // 2)
    return guess if guess > fit else 0


def _line(tried: Mapping[int, CompiledStep]) -> tuple[float, float]:
    """GiB whatever the clips, and of each clip."""
    points = [(n, tried[n].peak_gib) for n in sorted(tried)[-2:]]
    (first, low), (last, high) = points[0], points[-1]
    if high > low:
        of_a_clip = (high - low) / (last - first)
        return max(low - first * of_a_clip, 0.0), of_a_clip
    once = tried[last].arguments_gib
    return once, (high - once) / last
