"""What costs more than a scalar, and is therefore done a few times in a run."""

import contextlib
from collections.abc import Iterator

from avmae_tf.training.actions import Action, Running

TIMES = 10  # in a run; as many pictures of a kind as TensorBoard keeps


class Occasional(Action):
    """Due at the end of a run, and before that a few times, as the budget allows.

    Where `RunSpec.pictures_every_loops` is set it is due so often, whatever it costs, and without
    `RunSpec.pictures` never. Only the worker that writes the logs does it: what it computes must
    not need the others.
    """

    cost = 0.0  # seconds: what it is thought to cost the first time, then what it did last

    def __init__(self, running: Running):
        super().__init__(running)
        run, num_steps = running.run, running.trainer.num_steps
        self._asked = run.pictures_every_loops is not None
        loops = run.pictures_every_loops or 0
        self._interval = run.steps_per_loop * loops or max(1, num_steps // TIMES)
        self._last = 0

    def is_due(self, step: int) -> bool:
        """Whether to do it now."""
        if not (self.running.logs and self.running.run.pictures):
            return False
        if step >= self.running.trainer.num_steps:
            return True
        passed = step // self._interval > self._last // self._interval
        return passed and (self._asked or self.running.budget.allows(self.cost))

    @contextlib.contextmanager
    def doing(self, step: int) -> Iterator[None]:
        """Counts what is done inside of the block, at `step`, into the budget."""
        budget = self.running.budget
        began = budget.clock()
        yield
        self.cost = budget.clock() - began
        budget.spent += self.cost
        self._last = step
