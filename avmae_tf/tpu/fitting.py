"""How many clips of a recipe fit a core, found with few compilations."""

import math
from collections.abc import Mapping

from avmae_tf.tpu.compiler import CompiledStep

FIRST = 8


def next_attempt(tried: Mapping[int, CompiledStep], most: int, memory_gib: float) -> int:
    """Clips to compile a step with next, to find the power of two that just fits; 0 if it is found.

    `tried` are the attempts so far by clips, of which `most` are the batch of all cores. What is
    temporary grows with the clips, so that one that fits tells about where the next are.
    """
    outcomes = {clips: step.outcome for clips, step in tried.items()}
    if not tried:
        return min(FIRST, most)
    if not {*outcomes.values()} <= {'compiles', 'too large'}:
        return 0
    fit = max((n for n, outcome in outcomes.items() if outcome == 'compiles'), default=0)
    too_many = min(
        (n for n, outcome in outcomes.items() if outcome == 'too large'), default=2 * most
    )
    if not fit:
        return too_many // 2
    if 2 * fit >= too_many:
        return 0
    step = tried[fit]
    of_a_clip = (step.peak_gib - step.arguments_gib) / fit
    room = max(memory_gib - step.arguments_gib, of_a_clip)
    guess = 2 ** int(math.log2(room / of_a_clip))
    return min(max(guess, 2 * fit), too_many // 2)
