"""A run from its first step to the finished model: Orbit's controller, checkpoints, pictures."""

import contextlib
import math
import os
from collections.abc import Callable

import orbit
import tensorflow as tf
from absl import logging

from avmae_tf import console
from avmae_tf.config import RunSpec, splits
from avmae_tf.data.dataset import check_sizes, damage_named
from avmae_tf.data.locks import holds
from avmae_tf.training import devices, visuals
from avmae_tf.training.checkpoints import RunFolder, RunState, save_model
from avmae_tf.training.saving import CheckpointManager
from avmae_tf.training.tasks import Task
from avmae_tf.training.trainer import Trainer

PICTURE_CLIPS = 4
Progress = Callable[..., None]  # progress(step, steps, **scalars)


class Diverged(console.Failed):
    """A loss or a weight is not finite: the message says which, when, and what is kept."""


@holds('run_folder')
def train(
    task: Task,
    folder: str,
    run_folder: RunFolder,
    *,
    run: RunSpec = RunSpec(),
    initial: str = '',
    initialise: Callable | None = None,
    strategy: tf.distribute.Strategy | None = None,
    progress: Progress = lambda step, steps, **scalars: None,
    say: Callable[[str], None] = logging.info,
) -> dict[str, float]:
    """Trains `task` on the records in `folder` and saves the model in `run_folder.model`.

    Goes on from the last checkpoint of a killed run, with the clips that it had not seen; a run
    that is finished returns at once. `initialise(model)` is called where nothing is to be
    resumed, and `initial` names what it copies. Returns the scalars of the last evaluation.

    Raises:
        Diverged: a loss or a weight is not finite.
        ValueError: the folder is another run's, or that of a finished run that learned by another
            version of this program, or shards or all checkpoints are damaged.
    """
    state = RunState.of(task.config, task.dataset, initial)
    before = run_folder.open(state)
    if before and before.finished:
        say(f'{task.name}: finished before, model in {run_folder.model}')
        return before.scalars
    check_sizes(folder, task.dataset, splits.USED)
    with damage_named():
        if note := task.prepare(folder):
            say(f'{task.name}: {note}')
    strategy = strategy or devices.default_strategy()
    trainer = Trainer(task, folder, strategy, run)
    step = trainer.global_step
    manager = CheckpointManager(
        tf.train.Checkpoint(model=trainer.model, optimizer=trainer.optimizer),
        run_folder.checkpoints,
        step=step,
        steps=run.steps_between_checkpoints(trainer.num_steps),
        minutes=run.checkpoint_minutes,
        init_fn=lambda: initialise(trainer.model) if initialise else None,
        say=say,
    )

    picture_interval = run.steps_per_loop * run.pictures_every_loops

    def draw(number: int):
        with controller.summary_manager.summary_writer().as_default():
            visuals.summarise(trainer.reconstruct(clips), clips, task.config, number)

    def watch(output):
        number = int(step.numpy())
        scalars = {k: float(v) for k, v in output.items()}
        check_finite(scalars, trainer.not_finite(), number)
        progress(number, trainer.num_steps, **scalars)
        if task.has_pictures and (number % picture_interval == 0 or number == trainer.num_steps):
            draw(number)

    def watch_test(output):
        check_finite({f'test {k}': float(v) for k, v in output.items()}, None, int(step.numpy()))

    def check_finite(scalars: dict[str, float], variable: str | None, number: int):
        losses = {k: v for k, v in scalars.items() if 'loss' in k}
        wrong = [k for k, v in losses.items() if not math.isfinite(v)] or [variable]
        if not wrong[0]:
            return
        kept = manager.latest_checkpoint
        raise Diverged(
            f'{task.name}: {wrong[0]} is not finite at step {number} '
            f'({", ".join(f"{k} {v:.4g}" for k, v in losses.items())}); '
            f'{f"the last good checkpoint is {kept}" if kept else "there is no checkpoint yet"}. '
            'Try a lower schedule.learning_rate (now '
            f'{task.config.schedule.learning_rate:g}) or a longer schedule.warmup_epochs (now '
            f'{task.config.schedule.warmup_epochs:g}), in a new folder'
        )

    with contextlib.redirect_stdout(None), damage_named():  # Orbit prints what it logs
        clips = trainer.first_clips(PICTURE_CLIPS) if task.has_pictures else None
        controller = orbit.Controller(
            global_step=step,
            trainer=trainer,
            evaluator=trainer,
            strategy=strategy,
            steps_per_loop=run.steps_per_loop,
            checkpoint_manager=manager,
            train_actions=[watch],
            eval_actions=[watch_test],
            summary_dir=os.path.join(run_folder.logs, splits.TRAIN),
            eval_summary_dir=os.path.join(run_folder.logs, splits.EVAL),
        )
        start = int(step.numpy())
        if manager.latest_checkpoint:
            say(f'{task.name}: resumed from step {start} of {trainer.num_steps}')
            if before and before.learning_version != state.learning_version:
                say(
                    f'{task.name}: begun with learning version {before.learning_version}, goes on '
                    f'with {state.learning_version}, which learns otherwise'
                )
        run_folder.claim(state)
        trainer.read_from(start)
        final = controller.train_and_evaluate(
            trainer.num_steps,
            trainer.num_eval_steps,
            eval_interval=run.steps_per_loop * run.test_every_loops,
        ) or controller.evaluate(trainer.num_eval_steps)  # killed after its last step
    scalars = {k: float(v) for k, v in final.items()}
    save_model(run_folder.model, trainer.model, task.dataset)
    run_folder.finish(state, scalars)
    return scalars
