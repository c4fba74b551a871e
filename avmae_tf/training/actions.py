"""What the host does at each look, beside saving and Orbit's scalars: a class for each concern.

All workers act alike, since some of it computes on all of them; where something is written, the
writers of those that are not the chief write nothing.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import orbit

from avmae_tf import console
from avmae_tf.config import RunSpec
from avmae_tf.training.checkpoints import RunFolder
from avmae_tf.training.monitoring.budget import Budget
from avmae_tf.training.saving import CheckpointManager
from avmae_tf.training.trainer import Trainer

Scalars = dict[str, float]
Progress = Callable[..., None]  # progress(step, steps, **scalars)


class Diverged(console.Failed):
    """A loss or a weight is not finite: the message says which, when, and what is kept."""


@dataclasses.dataclass(frozen=True)
class Running:
    """A run, as its actions see it."""

    trainer: Trainer
    run: RunSpec
    folder: RunFolder
    logs: str | None  # TensorBoard's, of this run; None where another worker writes them
    manager: CheckpointManager
    train_summaries: orbit.utils.SummaryManager
    eval_summaries: orbit.utils.SummaryManager
    run_summaries: orbit.utils.SummaryManager  # of what is neither training's nor tests'
    progress: Progress
    say: Callable[[str], None]
    budget: Budget = dataclasses.field(default_factory=Budget)


class Action:
    """Something that the host does at its looks: one is made for each run, before it begins."""

    def __init__(self, running: Running):
        self.running = running

    def before_steps(self, step: int) -> int:
        """Before each loop of steps; how many it may have at most."""
        every = self.running.run.steps_per_loop
        return every - step % every

    def after_steps(self, step: int, scalars: Scalars) -> None:
        """After each loop of steps, with the number of the last and what was measured."""

    def after_test(self, step: int, scalars: Scalars) -> None:
        """After each test on held-out clips."""


class CheckFinite(Action):
    """Ends a run that has diverged, before anything of it is kept."""

    def after_steps(self, step: int, scalars: Scalars) -> None:
        self._check(step, scalars, self.running.trainer.not_finite())

    def after_test(self, step: int, scalars: Scalars) -> None:
        self._check(step, {f'test {k}': v for k, v in scalars.items()}, None)

    def _check(self, step: int, scalars: Scalars, variable: str | None):
        losses = {k: v for k, v in scalars.items() if 'loss' in k}
        wrong = [k for k, v in losses.items() if not math.isfinite(v)] or [variable]
        if not wrong[0]:
            return
        task, kept = self.running.trainer.task, self.running.manager.latest_checkpoint
        schedule = task.config.schedule
        raise Diverged(
            f'{task.name}: {wrong[0]} is not finite at step {step} '
            f'({", ".join(f"{k} {v:.4g}" for k, v in losses.items())}); '
            f'{f"the last good checkpoint is {kept}" if kept else "there is no checkpoint yet"}. '
            f'Try a lower schedule.learning_rate (now {schedule.learning_rate:g}) or a longer '
            f'schedule.warmup_epochs (now {schedule.warmup_epochs:g}), in a new folder'
        )


class Report(Action):
    """Tells the user how far it is."""

    def after_steps(self, step: int, scalars: Scalars) -> None:
        self.running.progress(step, self.running.trainer.num_steps, **scalars)


class Actions:
    """All of them, in the order in which they act."""

    KINDS: ClassVar[tuple[type[Action], ...]] = (CheckFinite, Report)

    def __init__(self, running: Running, more: Iterable[type[Action]] = ()):
        self.step = running.trainer.global_step
        self.actions = [kind(running) for kind in (*self.KINDS, *more)]

    def before_steps(self, step: int) -> int:
        """The fewest steps that any of them allows."""
        return min(action.before_steps(int(step)) for action in self.actions)

    def after_steps(self, output: Mapping[str, Any]) -> None:
        """Orbit's train action."""
        step, scalars = self._seen(output)
        for action in self.actions:
            action.after_steps(step, scalars)

    def after_test(self, output: Mapping[str, Any]) -> None:
        """Orbit's eval action."""
        step, scalars = self._seen(output)
        for action in self.actions:
            action.after_test(step, scalars)

    def _seen(self, output: Mapping[str, Any]) -> tuple[int, Scalars]:
        return int(self.step.numpy()), {k: float(v) for k, v in output.items()}
