"""A run from its first step to the finished model: Orbit's controller, checkpoints, pictures."""

import contextlib
import os
from collections.abc import Callable

import orbit
import tensorflow as tf
from absl import logging

from avmae_tf.config import RunSpec, splits
from avmae_tf.data.dataset import check_sizes, damage_named
from avmae_tf.data.locks import holds
from avmae_tf.training import devices
from avmae_tf.training.actions import Actions, Progress, Running
from avmae_tf.training.checkpoints import RunFolder, RunState, save_model
from avmae_tf.training.monitoring.monitors import MONITORS
from avmae_tf.training.monitoring.names import new_name
from avmae_tf.training.monitoring.tags import write_scalar
from avmae_tf.training.saving import CheckpointManager
from avmae_tf.training.tasks import Task
from avmae_tf.training.trainer import Trainer

RUN = ''  # of the folder of a run's logs: what is written of the run as a whole


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
    state = state.replace(name=before.name if before else new_name(run_folder.all_logs, task))
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
        tf.train.Checkpoint(**trainer.saved),
        run_folder.checkpoints,
        step=step,
        steps=run.steps_between_checkpoints(trainer.num_steps),
        minutes=run.checkpoint_minutes,
        init_fn=lambda: initialise(trainer.model) if initialise else None,
        say=say,
    )

    logs = run_folder.logs_of(state)
    summaries = {
        split: orbit.utils.SummaryManager(os.path.join(logs, split), write_scalar, global_step=step)
        for split in (splits.TRAIN, splits.EVAL, RUN)
    }
    actions = Actions(
        Running(
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
        ),
        MONITORS,
    )

    with contextlib.redirect_stdout(None), damage_named():  # Orbit prints what it logs
        controller = orbit.Controller(
            global_step=step,
            trainer=trainer,
            evaluator=trainer,
            strategy=strategy,
            steps_per_loop=actions.before_steps,
            checkpoint_manager=manager,
            train_actions=[actions.after_steps],
            eval_actions=[actions.after_test],
            summary_manager=summaries[splits.TRAIN],
            eval_summary_dir=splits.EVAL,  # Orbit passes the manager over where both are alike
            eval_summary_manager=summaries[splits.EVAL],
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
    save_model(run_folder.model, trainer.result, task.dataset)
    run_folder.finish(state, scalars)
    return scalars
