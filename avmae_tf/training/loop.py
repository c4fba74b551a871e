"""A run from its first step to the finished model: Orbit's controller, checkpoints, pictures."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator

import orbit
import tensorflow as tf
from absl import logging

from avmae_tf import console
from avmae_tf.config import RunSpec, splits
from avmae_tf.data.dataset import check_sizes, damage_named
from avmae_tf.data.locks import held
from avmae_tf.training import devices
from avmae_tf.training.actions import Actions, CheckFinite, Progress, Running
from avmae_tf.training.checkpoints import RunFolder, RunState, save_model
from avmae_tf.training.interruption import Interrupted, Watch, watched
from avmae_tf.training.monitoring.monitors import MONITORS
from avmae_tf.training.monitoring.names import new_name
from avmae_tf.training.monitoring.tags import write_scalar
from avmae_tf.training.pieces import Pieces, Stopped
from avmae_tf.training.saving import CheckpointManager
from avmae_tf.training.tasks import Task
from avmae_tf.training.trainer import Trainer

RUN = ''  # of the folder of a run's logs: what is written of the run as a whole
Say = Callable[[str], None]
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)


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
    say: Say = logging.info,
) -> dict[str, float]:
    """Trains `task` on the records in `folder` and saves the model in `run_folder.model`.

    Goes on from the last checkpoint of a killed run, with the clips that it had not seen; a run
    that is finished returns at once. `initialise(model)` is called where nothing is to be
    resumed, and `initial` names what it copies. Returns the scalars of the last evaluation.

    Several workers call it alike, each in a process of its own, with folders that all of them see.
    The chief alone writes there.

    Raises:
        Diverged: a loss or a weight is not finite.
        Interrupted: it was told to end, or has lost a worker; what it did is kept.
        ValueError: the folder is another run's, or that of a finished run that learned by another
            version of this program, or shards or all checkpoints are damaged; or what `run`
            insists on is not there.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_lost_named(task.name))
        strategy = strategy or devices.default_strategy(run.strategy, run.device)
        # Only now, since TensorFlow takes SIGTERM for itself when it joins workers.
        watch = stack.enter_context(watched(run.standstill_minutes))
        if devices.is_chief(strategy):
            stack.enter_context(held(run_folder.path))
        return _train(
            task,
            folder,
            run_folder,
            run,
            initial=initial,
            initialise=initialise,
            strategy=strategy,
            watch=watch,
            progress=progress,
            say=say,
        )


def _train(
    task: Task,
    folder: str,
    run_folder: RunFolder,
    run: RunSpec,
    *,
    initial: str,
    initialise: Callable | None,
    strategy: tf.distribute.Strategy,
    watch: Watch,
    progress: Progress,
    say: Say,
) -> dict[str, float]:
    is_chief, agree = devices.is_chief(strategy), devices.agreement(strategy)
    state = RunState.of(task.config, task.dataset, initial)
    before = run_folder.open(state)
    state = state.replace(name=before.name if before else new_name(run_folder.all_logs, task))
    if before and before.finished:
        say(f'{task.name}: finished before, model in {run_folder.model}')
        return before.scalars
    check_sizes(folder, task.dataset, splits.USED)
    with damage_named():
        if note := task.prepare(folder):
            say(f'{task.name}: {note}')
    say(f'{task.name}: {devices.describe(strategy)}')
    trainer = Trainer(task, folder, strategy, run)
    step = trainer.global_step
    pieces = Pieces(step, watch, agree)
    trainer.cut = pieces.cut
    manager = CheckpointManager(
        tf.train.Checkpoint(**trainer.saved),
        run_folder.checkpoints,
        step=step,
        steps=run.steps_between_checkpoints(trainer.num_steps),
        minutes=run.checkpoint_minutes,
        init_fn=lambda: initialise(trainer.model) if initialise else None,
        say=say,
        is_chief=is_chief,
        agree=agree,
        asked=pieces.asked_to_save,
    )
    # What another worker than the chief writes of the run is written nowhere.
    logs = run_folder.logs_of(state) if is_chief else tempfile.mkdtemp(prefix='avmae-worker-')
    summaries = {
        split: orbit.utils.SummaryManager(os.path.join(logs, split), write_scalar, global_step=step)
        for split in (splits.TRAIN, splits.EVAL, RUN)
    }
    running = Running(
        trainer=trainer,
        run=run,
        folder=run_folder,
        logs=logs,
        manager=manager,
        train_summaries=summaries[splits.TRAIN],
        eval_summaries=summaries[splits.EVAL],
        run_summaries=summaries[RUN],
        progress=progress,
        say=say,
    )
    actions = Actions(running, MONITORS)
    with contextlib.redirect_stdout(None), damage_named():  # Orbit prints what it logs
        controller = orbit.Controller(
            global_step=step,
            trainer=trainer,
            evaluator=trainer,
            strategy=strategy,
            # whole loops end at their multiples, wherever a run was resumed
            steps_per_loop=lambda number: min(
                run.steps_per_loop - number % run.steps_per_loop, actions.before_steps(number)
            ),
            checkpoint_manager=manager,
            train_actions=[actions.after_steps],
            eval_actions=[actions.after_test],
            summary_manager=summaries[splits.TRAIN],
            eval_summary_dir=splits.EVAL,  # Orbit passes the manager over where both are alike
            eval_summary_manager=summaries[splits.EVAL],
        )
        start = int(step.numpy())
        _check_same(start, agree, run_folder)
        if manager.latest_checkpoint:
            say(f'{task.name}: resumed from step {start} of {trainer.num_steps}')
            if before and before.learning_version != state.learning_version:
                say(
                    f'{task.name}: begun with learning version {before.learning_version}, '
                    f'goes on with {state.learning_version}, which learns otherwise'
                )
        if is_chief:
            run_folder.claim(state)
        trainer.read_from(start)
        try:
            final = _run_to_end(controller, trainer, run)
        except Stopped:
            number = int(step.numpy())
            CheckFinite(running).after_steps(number, {})
            controller.save_checkpoint()
            raise Interrupted(
                f'{task.name}: {watch.reason or "another worker was told to end"}; saved '
                f'at step {number} of {trainer.num_steps}, start it again to go on'
            ) from None
    scalars = {k: float(v) for k, v in final.items()}
    if is_chief:
        save_model(run_folder.model, trainer.result, task.dataset)
        run_folder.finish(state, scalars)
    agree([0.0])  # no worker leaves before the model is there
    return scalars


def _run_to_end(controller: orbit.Controller, trainer: Trainer, run: RunSpec) -> dict:
    """Trains and tests in turns; returns what the last test found."""
    interval, final = run.steps_per_loop * run.test_every_loops, None
    while (number := int(trainer.global_step.numpy())) < trainer.num_steps:
        steps = min((number // interval + 1) * interval, trainer.num_steps)
        controller.train(steps, checkpoint_at_completion=False)
        final = controller.evaluate(trainer.num_eval_steps)
    controller.save_checkpoint()
    return final or controller.evaluate(trainer.num_eval_steps)  # killed after its last step


def _check_same(step: int, agree: Callable, run_folder: RunFolder) -> None:
    """Raises ValueError where other workers have found other checkpoints."""
    if abs(agree([float(step)])[0] - step) > 0.25:
        raise ValueError(
            f'{run_folder.checkpoints}: workers find different checkpoints in it, this one that of '
            f'step {step}; give all of them the same folder, in a bucket or on a shared disk'
        )


@contextlib.contextmanager
def _lost_named(name: str) -> Iterator[None]:
    """Raises Interrupted for the errors of a connection inside of the block."""
    try:
        yield
    except _LOST as error:
        what = console.NOISE.sub('', str(error.message)).strip().partition('\n')[0]
        raise Interrupted(
            f'{name}: a worker or a connection is lost ({what}); the last checkpoint is kept, '
            'start all workers again to go on'
        ) from error
