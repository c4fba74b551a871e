"""A run from its first step to the finished model: Orbit's controller, checkpoints, pictures."""

import contextlib
import os
from collections.abc import Callable

import orbit
import tensorflow as tf
from absl import logging

from avmae_tf.config import RunSpec
from avmae_tf.data.locks import holds
from avmae_tf.training import devices, visuals
from avmae_tf.training.checkpoints import RunFolder, RunState, save_model, source_fingerprint
from avmae_tf.training.trainer import Trainer

PICTURE_CLIPS = 4
Progress = Callable[..., None]  # progress(step, steps, **scalars)


@holds('run_folder')
def train(
    task,
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
    resumed, and `initial` names what it copies. Returns the scalars of the final test.
    """
    state = RunState(
        config=task.config.model_dump(mode='json'),
        dataset=task.dataset.fingerprint,
        initial=initial,
        source=source_fingerprint(),
    )
    if run_folder.open(state):
        say(f'{task.name}: finished before, model in {run_folder.model}')
        return {}
    if note := task.prepare(folder):
        say(f'{task.name}: {note}')
    strategy = strategy or devices.default_strategy()
    trainer = Trainer(task, folder, strategy, run)
    step = trainer.global_step
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(model=trainer.model, optimizer=trainer.optimizer),
        directory=run_folder.checkpoints,
        max_to_keep=2,
        step_counter=step,
        checkpoint_interval=run.steps_per_loop * run.checkpoint_every_loops,
        init_fn=lambda: initialise(trainer.model) if initialise else None,
    )

    picture_interval = run.steps_per_loop * run.pictures_every_loops
    clips = trainer.first_clips(PICTURE_CLIPS) if task.draws else None

    def draw(number: int):
        with controller.summary_manager.summary_writer().as_default():
            visuals.summarise(trainer.reconstruct(clips), clips, task.config, number)

    def watch(output):
        number = int(step.numpy())
        progress(number, trainer.num_steps, **{k: float(v) for k, v in output.items()})
        if task.draws and (number % picture_interval == 0 or number == trainer.num_steps):
            draw(number)

    with contextlib.redirect_stdout(None):  # Orbit prints what it logs
        controller = orbit.Controller(
            global_step=step,
            trainer=trainer,
            evaluator=trainer,
            strategy=strategy,
            steps_per_loop=run.steps_per_loop,
            checkpoint_manager=manager,
            train_actions=[watch],
            summary_dir=os.path.join(run_folder.logs, 'train'),
            eval_summary_dir=os.path.join(run_folder.logs, 'eval'),
        )
        start = int(step.numpy())
        if manager.latest_checkpoint:
            say(f'{task.name}: resumed from step {start} of {trainer.num_steps}')
        run_folder.claim(state)
        trainer.read_from(start)
        controller.train_and_evaluate(
            trainer.num_steps,
            trainer.num_test_steps,
            eval_interval=run.steps_per_loop * run.test_every_loops,
        )
        scalars = controller.evaluate(trainer.num_test_steps)
    save_model(run_folder.model, trainer.model, task.dataset)
    run_folder.finish(state)
    return {k: float(v) for k, v in scalars.items()}
