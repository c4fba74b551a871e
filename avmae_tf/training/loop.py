"""The training loop: Orbit's controller around one compiled step (any strategy, any task)."""

import contextlib
import os
from collections.abc import Callable

import orbit
import tensorflow as tf
import tf_keras as keras
from absl import logging

from avmae_tf.config import RunSpec
from avmae_tf.data.inputs import Worker, testing_batches, training_batches
from avmae_tf.models.blocks import fold_in
from avmae_tf.training import devices, visuals
from avmae_tf.training.checkpoints import RunFolder, RunState, save_model, source_fingerprint
from avmae_tf.training.optimizers import make_optimizer, make_schedule

PICTURE_CLIPS = 4
Progress = Callable[..., None]  # progress(step, steps, **scalars)


# Nothing here branches on tensors, and converting every layer takes most of a minute.
without_autograph = tf.autograph.experimental.do_not_convert


class Trainer(orbit.StandardTrainer, orbit.StandardEvaluator):
    """One task on one strategy: the step of training and the step of testing."""

    def __init__(self, task, folder: str, strategy, run: RunSpec):
        self.task = task
        self.folder = folder
        self.strategy = strategy
        self.num_replicas = strategy.num_replicas_in_sync
        config = task.config
        if config.schedule.batch_size % self.num_replicas:
            raise ValueError(
                f'batch_size must be a multiple of the {self.num_replicas} replicas, '
                f'got {config.schedule.batch_size}'
            )
        num_examples = task.dataset.num_examples('train')
        self.num_steps = config.schedule.steps(config.schedule.epochs, num_examples)
        if not self.num_steps:
            raise ValueError(
                f'{config.schedule.epochs} epochs of {num_examples} clips are not one batch of '
                f'{config.schedule.batch_size}; lower batch_size or add clips'
            )
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.model = task.build()
            self.trainables = self.model.trainable_variables
            self.schedule = make_schedule(config.schedule, num_examples)
            self.optimizer = make_optimizer(config.optimizer, self.schedule)
            self.train_means = {n: keras.metrics.Mean(n) for n in task.train_names}
            self.test_means = {n: keras.metrics.Mean(n) for n in task.test_names}
        compiled = run.jit_compile or devices.is_tpu(strategy)
        self.compiled_gradients = tf.function(
            self._gradients, jit_compile=compiled, autograph=False
        )
        self.compiled_test = tf.function(
            lambda batch: task.test_scalars(self.model, batch),
            jit_compile=compiled,
            autograph=False,
        )
        batches = testing_batches(
            folder,
            task.dataset,
            config,
            batch_size=config.schedule.batch_size,
            num_views=task.num_test_views,
        )
        if task.draws:
            seed = tf.constant([config.seed, 1])
            self.reconstruct_on_all = tf.function(
                lambda inputs: strategy.run(
                    lambda x: task.reconstruct(self.model, x, seed), args=(inputs,)
                ),
                autograph=False,
            )
        self.num_test_steps = -(-task.dataset.num_examples('eval') // config.schedule.batch_size)
        orbit.StandardTrainer.__init__(self, train_dataset=None)
        orbit.StandardEvaluator.__init__(
            self, eval_dataset=strategy.experimental_distribute_dataset(batches)
        )

    @property
    def global_step(self) -> tf.Variable:
        return self.optimizer.iterations

    def read_from(self, step: int):
        """Feeds the clips that a run has not yet seen at `step`."""
        batch_size = self.task.config.schedule.batch_size

        def batches(context):
            size = context.get_per_replica_batch_size(batch_size)
            return training_batches(
                self.folder,
                self.task.dataset,
                self.task.config,
                batch_size=size,
                start=step * batch_size // context.num_input_pipelines,
                worker=Worker(context.input_pipeline_id, context.num_input_pipelines),
            )

        self.train_dataset = self.strategy.distribute_datasets_from_function(batches)

    def first_clips(self, count: int) -> dict[str, tf.Tensor]:
        """Inputs of the first held-out clips, to be drawn: the same ones at every look."""
        batches = testing_batches(
            self.folder, self.task.dataset, self.task.config, batch_size=count, num_views=1
        )
        batch = next(iter(batches))
        return {m: batch[m][:, 0] for m in self.task.config.modalities}

    def reconstruct(self, inputs):
        """The task's reconstruction of `inputs`, on one replica."""
        outcome = self.reconstruct_on_all(inputs)
        return self.strategy.experimental_local_results(outcome)[0]

    def _gradients(self, batch, seed):
        with tf.GradientTape() as tape:
            loss, scalars = self.task.train_loss(self.model, batch, seed)
        return scalars, tape.gradient(loss, self.trainables)

    def _accumulate(self, means: dict, scalars, weight=None):
        for name, value in scalars.items():
            means[name].update_state(value, sample_weight=weight)

    def train_loop_begin(self):
        for mean in self.train_means.values():
            mean.reset_state()

    @without_autograph
    def train_step(self, iterator):
        def step(batch):
            context = tf.distribute.get_replica_context()
            seed = tf.constant([self.task.config.seed, 0])
            number = self.global_step * self.num_replicas
            number += tf.cast(context.replica_id_in_sync_group, number.dtype)
            scalars, gradients = self.compiled_gradients(batch, fold_in(seed, number))
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
            gradients = self.task.prepare_gradients(self.model, gradients)
            self.optimizer.apply_gradients(
                zip(gradients, self.trainables, strict=True), experimental_aggregate_gradients=False
            )
            self._accumulate(self.train_means, scalars)

        self.strategy.run(step, args=(next(iterator),))

    def train_loop_end(self):
        rate = self.schedule(self.global_step)
        return {k: v.result() for k, v in self.train_means.items()} | {'learning_rate': rate}

    def eval_begin(self):
        for mean in self.test_means.values():
            mean.reset_state()

    @without_autograph
    def eval_step(self, iterator):
        def step(batch):
            self._accumulate(self.test_means, self.compiled_test(batch), batch['weight'])

        self.strategy.run(step, args=(next(iterator),))

    def eval_end(self):
        return {k: v.result() for k, v in self.test_means.items()}


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
