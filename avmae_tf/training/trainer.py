"""One task on one strategy: the compiled steps of training and testing, in Orbit's terms."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orbit
import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import RunSpec, splits
from avmae_tf.data.dataset import without_autograph
from avmae_tf.data.inputs import eval_batches, training_batches
from avmae_tf.data.order import Part
from avmae_tf.models.draws import Draws, fold_in
from avmae_tf.training import devices
from avmae_tf.training.answers import Answers
from avmae_tf.training.gradients import mean_gradients
from avmae_tf.training.monitoring.clock import Clock
from avmae_tf.training.optimizers import (
    clip,
    create_slots,
    make_optimizer,
    make_schedule,
    move_averages,
    shrink_kernels,
)
from avmae_tf.training.saving import watch_finite
from avmae_tf.training.tasks import Task

Kept = dict[str, tf.Tensor]


class Trainer(orbit.StandardTrainer, orbit.StandardEvaluator):
    """One task on one strategy: the step of training and the step of testing."""

    cut: Callable[[Callable], Callable] = staticmethod(lambda loop: loop)
    """Divides a loop of Orbit's into pieces, between which the host looks up."""

    def __init__(self, task: Task, folder: str, strategy: tf.distribute.Strategy, run: RunSpec):
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
        self.replica_batch_size = config.schedule.batch_size // self.num_replicas
        self.microbatches = run.microbatches
        task.check_microbatches(self.replica_batch_size, run.microbatches)
        num_examples = task.dataset.num_examples(splits.TRAIN, labelled=task.labelled)
        self.num_steps = config.schedule.steps(config.schedule.epochs, num_examples)
        if not self.num_steps:
            raise ValueError(
                f'{config.schedule.epochs} epochs of {num_examples} clips are not one batch of '
                f'{config.schedule.batch_size}; lower batch_size or add clips'
            )
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.model = task.build()
            self.trainables = task.trainables(self.model)
            self.rate_factors = task.rate_factors(self.model)
            # What is tested, drawn and saved at the end: the average of the weights, if any.
            self.result = task.build() if config.average_decay else self.model
            self.schedule = make_schedule(config.schedule, num_examples)
            self.optimizer = make_optimizer(
                config.optimizer,
                self.schedule,
                zip(self.trainables, self.rate_factors, strict=True),
            )
            create_slots(self.optimizer, self.trainables)
            names = (*task.train_names, *clip([tf.zeros([])], config.clip_norm)[1])
            self.train_means = {n: keras.metrics.Mean(n) for n in names}
            self.eval_means = task.eval_metrics()
        self.compiled_gradients = self._compiled(self._gradients, run)
        self.compiled_eval = self._compiled(lambda x: task.eval_scalars(self.result, x), run)
        self.embed = self._alike(lambda x: self.result.embed(x))
        if task.has_pictures:
            seed = tf.constant([config.seed, 1])
            self.reconstruct = self._alike(lambda x: task.reconstruct(self.result, x, seed))
        self.clock = Clock()
        self.answers: Answers | None = None  # of the last test
        self.num_evaluated = task.dataset.num_examples(splits.EVAL, labelled=task.labelled)
        self.num_eval_steps = -(-self.num_evaluated // config.schedule.batch_size)
        orbit.StandardTrainer.__init__(self, train_dataset=None)
        orbit.StandardEvaluator.__init__(
            self, eval_dataset=self._distributed(config.schedule.batch_size, self._eval_batches)
        )

    def _compiled(self, function: Callable, run: RunSpec) -> Callable:
        """`function` of a replica as one graph: traced once for all replicas, compiled if asked.

        Where it gathers from the others it is traced as a part of their common step: off the TPU,
        TensorFlow can gather only there, and XLA not at all.
        """
        on_tpu = devices.is_tpu(self.strategy)
        if self.task.gathers and self.num_replicas > 1 and not on_tpu:
            if run.jit_compile:
                raise ValueError(
                    f'jit_compile (--jit) compiles each of {self.num_replicas} replicas by itself, '
                    f'and the objective {self.task.config.objective.kind!r} gathers from all of '
                    'them; leave it off, or use one device'
                )
            return function
        return tf.function(function, jit_compile=run.jit_compile or on_tpu, autograph=False)

    @property
    def global_step(self) -> tf.Variable:
        """Steps of the optimizer so far."""
        return self.optimizer.iterations

    @property
    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds, by name."""
        average = {} if self.result is self.model else {'average': self.result}
        return {'model': self.model, 'optimizer': self.optimizer, **average}

    @functools.cached_property
    def not_finite(self) -> Callable[[], str | None]:
        """A function that names a weight or a slot of the optimizer that is not finite, or None."""
        return watch_finite([*self.model.variables, *self.optimizer.variables()])

    def _distributed(self, batch_size: int, make: Callable[..., tf.data.Dataset]) -> Any:
        """The batches that `make` makes for each worker, which is told its part of them."""

        def of_worker(context):
            return make(
                batch_size=batch_size,
                worker=Part(context.input_pipeline_id, context.num_input_pipelines),
                replicas=context.num_replicas_in_sync // context.num_input_pipelines,
            )

        return self.strategy.distribute_datasets_from_function(of_worker)

    def _eval_batches(self, **settings: Any) -> tf.data.Dataset:
        task = self.task
        views = {'num_views': task.num_eval_views, 'num_crops': task.num_eval_crops}
        settings = {**views, **settings, 'labelled': task.labelled}
        return eval_batches(self.folder, task.dataset, task.config, **settings)

    def read_from(self, step: int) -> None:
        """Feeds the clips that a run has not yet seen at `step`."""
        task, batch_size = self.task, self.task.config.schedule.batch_size
        given, start = (self.folder, task.dataset, task.config), step * batch_size
        batches = functools.partial(training_batches, *given, start=start, labelled=task.labelled)
        self.train_dataset = self._distributed(batch_size, batches)

    def first_clips(self, count: int) -> dict[str, tf.Tensor]:
        """Inputs of the first held-out clips, to be drawn: the same ones at every look."""
        batch = next(iter(self.held_out(count, count)))
        return {m: batch[m][:, 0] for m in self.task.config.modalities}

    def held_out(self, count: int, batch_size: int) -> tf.data.Dataset:
        """Batches of the first `count` held-out clips, filled up with clips of 'weight' 0."""
        return self._eval_batches(batch_size=batch_size, first=count)

    def _alike(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A compiled `function(inputs)` that all replicas compute alike; returns what one did."""

        def alike(inputs):  # named: a TPU's strategy makes its scope of the name
            return self.strategy.run(function, args=(inputs,))

        run = tf.function(alike, autograph=False)
        return lambda inputs: self.strategy.experimental_local_results(run(inputs))[0]

    def create_train_loop_fn(self) -> Callable:
        return self.cut(super().create_train_loop_fn())

    def create_eval_loop_fn(self, has_state: bool) -> Callable:
        return self.cut(super().create_eval_loop_fn(has_state))

    def _gradients(self, batch, seed, replica):
        size = self.replica_batch_size
        draws = Draws(seed, replica * size + tf.range(size), size * self.num_replicas)
        return mean_gradients(
            self.task, self.model, self.trainables, batch, draws, self.microbatches
        )

    def _accumulate(self, means: dict, scalars, weight=None):
        for name, mean in means.items():
            mean.update_state(scalars[name], sample_weight=weight)

    def train_loop_begin(self) -> None:
        for mean in self.train_means.values():
            mean.reset_state()
        self.clock.begin()

    @without_autograph
    def train_step(self, iterator: Iterator) -> None:
        def step(batch):
            config, number = self.task.config, tf.identity(self.global_step)
            context = tf.distribute.get_replica_context()
            seed = fold_in(tf.constant([config.seed, 0]), number)
            replica = tf.convert_to_tensor(context.replica_id_in_sync_group)
            scalars, gradients = self.compiled_gradients(batch, seed, replica)
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
            gradients, norms = clip(gradients, config.clip_norm)
            self.optimizer.apply_gradients(
                zip(gradients, self.trainables, strict=True), experimental_aggregate_gradients=False
            )
            if config.weight_decay:
                decay = config.weight_decay * self.schedule(number)
                shrink_kernels(self.trainables, decay, self.rate_factors)
            if config.average_decay:
                averages, weights = self.result.variables, self.model.variables
                move_averages(averages, weights, config.average_decay, number)
            self._accumulate(self.train_means, scalars | norms)

        self.strategy.run(step, args=(self.clock.next(iterator),))

    def train_loop_end(self) -> dict[str, tf.Tensor]:
        self.clock.end()
        rate = self.schedule(self.global_step)
        return {k: v.result() for k, v in self.train_means.items()} | {'learning_rate': rate}

    def eval_begin(self) -> list[Kept] | None:
        for mean in self.eval_means.values():
            mean.reset_state()
        return [] if self.task.kept else None

    @without_autograph
    def eval_step(self, iterator: Iterator) -> Kept | None:
        """What the task keeps of a batch: of all of it, wherever its clips were looked at."""

        def step(batch):
            found = self.compiled_eval(batch)
            self._accumulate(self.eval_means, found, batch['weight'])
            context, found = tf.distribute.get_replica_context(), {**batch, **found}
            return {name: context.all_gather(found[name], axis=0) for name in self.task.kept}

        outcome = self.strategy.run(step, args=(next(iterator),))
        return self.strategy.experimental_local_results(outcome)[0] if self.task.kept else None

    def eval_reduce(self, state: list[Kept] | None = None, step_outputs: Kept | None = None) -> Any:
        return None if state is None else [*state, step_outputs]

    def eval_end(self, kept: list[Kept] = ()) -> dict[str, Any]:
        means = {k: v.result() for k, v in self.eval_means.items()}
        if not kept:
            return means
        joined = {name: np.concatenate([x[name] for x in kept]) for name in self.task.kept}
        self.answers = Answers.of(joined, self.task.heads, self.task.config.loss)
        return means | self.answers.measures()
