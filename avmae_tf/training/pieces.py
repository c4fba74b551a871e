"""Loops of steps in pieces so short that a notice to end is heard, on all workers alike."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from avmae_tf.training.interruption import Watch

PIECE_SECONDS = 5.0


class Stopped(Exception):
    """The run is to end after the steps that it has done."""


class Pieces:
    """Cuts Orbit's loops, and has all workers agree between the pieces on what to do.

    A piece is one call to the compiled loop: where its steps are short it has many of them.

    Args:
        step: Counts steps; it is read to wait for them.
        watch: What this worker has noticed.
        agree: Gives the means over all workers.
    """

    def __init__(
        self, step: tf.Variable, watch: Watch, agree: Callable[[Sequence[float]], list[float]]
    ):
        self.step, self.watch, self.agree = step, watch, agree
        self._to_save = False

    def asked_to_save(self) -> bool:
        """Whether any worker has asked for a checkpoint since the last question."""
        asked, self._to_save = self._to_save, False
        return asked

    def cut(self, loop: Callable) -> Callable:
        """`loop(iterator, num_steps, ...)` in pieces; raises Stopped between two of them."""
        length = 1

        def in_pieces(iterator: Any, num_steps: tf.Tensor, **settings: Any) -> Any:
            nonlocal length
            left = int(num_steps)
            while left:
                number, start = min(left, length), time.monotonic()
                state = loop(iterator, tf.constant(number, tf.int32), **settings)
                if 'state' in settings:  # of a test, which the next piece goes on with
                    settings['state'] = state
                self.step.numpy()
                left -= number
                seconds = self._look((time.monotonic() - start) / number)
                length = max(1, min(4 * length, int(PIECE_SECONDS / max(seconds, 1e-6))))
            return settings.get('state')

        return in_pieces

    def _look(self, seconds: float) -> float:
        """Does what any worker has noticed; returns the mean of `seconds`."""
        watch = self.watch
        watch.alive()
        to_end, to_save, seconds = self.agree(
            [float(bool(watch.reason)), float(watch.wants_checkpoint), seconds]
        )
        watch.wants_checkpoint = False
        self._to_save |= to_save > 0.0
        if to_end:
            raise Stopped
        return seconds
