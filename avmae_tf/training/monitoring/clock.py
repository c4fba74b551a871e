"""How long a loop of steps takes, and how long of that it waits for its batches."""

import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


class Clock:
    """Seconds of a loop, from `begin` to `end`, and of them those in which `next` waited.

    On a CPU a batch is asked for when the step before has ended. On other devices the host may be
    ahead of the device, which is then still at work: what is measured is an upper bound.
    """

    def __init__(self) -> None:
        with tf.device('CPU:0'):
            self._waited = tf.Variable(0.0, trainable=False, dtype=tf.float64, name='waited')
        self._began = self.seconds = self.waited = 0.0

    def begin(self) -> None:
        """A loop begins."""
        self._waited.assign(0.0)
        self._began = time.monotonic()

    def next(self, iterator: Iterator) -> Any:
        """The next batch, in a graph: two looks at the clock and an addition are all it costs."""
        before = tf.timestamp()
        with tf.control_dependencies([before]):
            batch = next(iterator)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            self._waited.assign_add(tf.timestamp() - before)
        return batch

    def end(self) -> None:
        """A loop has ended: `seconds` and `waited` are those of it."""
        self.seconds = time.monotonic() - self._began
        self.waited = float(self._waited.numpy())
