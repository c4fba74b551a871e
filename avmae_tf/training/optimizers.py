"""Schedules, optimizers and what is done to gradients before they are applied (appendix B)."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras
from official.modeling.optimization import lr_schedule
from tf_keras.src.optimizers.legacy.optimizer_v2 import _var_key  # by which slots are found

from avmae_tf.config import SGD, Adam, ScheduleSpec
from avmae_tf.models.classifier import Classifier

Schedule = keras.optimizers.schedules.LearningRateSchedule


def make_schedule(spec: ScheduleSpec, num_examples: int) -> Schedule:
    """lr = base min(1, step / warm) (1 + cos(pi max(0, step - warm) / (total - warm))) / 2."""
    total = spec.steps(spec.epochs, num_examples)
    warm = spec.steps(spec.warmup_epochs, num_examples)
    cosine = lr_schedule.CosineDecayWithOffset(
        offset=warm,
        initial_learning_rate=spec.peak_learning_rate,
        decay_steps=max(total - warm, 1),
    )
    if not warm:
        return cosine
    return lr_schedule.LinearWarmup(
        after_warmup_lr_sched=cosine, warmup_steps=warm, warmup_learning_rate=0.0
    )


class _ByVariable(keras.optimizers.legacy.Optimizer):
    """An optimizer with a factor on the learning rate of each variable; 1 where none is given.

    The optimizers of `legacy` update a variable in one fused operation, in a third of the time.
    """

    factors: dict[Any, float]

    def _resource_apply_dense(self, gradient, variable, apply_state=None):
        key = variable.device, variable.dtype.base_dtype
        state = apply_state.get(key) or next(iter(apply_state.values()))  # a TPU's names vary
        rate = state['lr_t'] * self.factors.get(_var_key(variable), 1.0)
        return super()._resource_apply_dense(gradient, variable, {key: state | {'lr_t': rate}})


class _Adam(_ByVariable, keras.optimizers.legacy.Adam):
    pass


class _SGD(_ByVariable, keras.optimizers.legacy.SGD):
    pass


def make_optimizer(
    spec: Adam | SGD,
    schedule: Schedule | float,
    factors: Iterable[tuple[tf.Variable, float]] = (),
) -> keras.optimizers.legacy.Optimizer:
    """Adam (Table 20) or SGD with momentum (Tables 22 to 24).

    `factors` are on the learning rates of variables: gradients may be scaled, too, but in Adam
    that would be lost.
    """
    optimizer: _ByVariable
    match spec:
        case Adam(beta_1=beta_1, beta_2=beta_2):
            optimizer = _Adam(schedule, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8, name='Adam')
        case SGD(momentum=momentum):
            optimizer = _SGD(schedule, momentum=momentum, name='SGD')
        case _:
            raise TypeError(f'no such optimizer: {spec!r}')
    optimizer.factors = {_var_key(variable): factor for variable, factor in factors}
    return optimizer


def create_slots(
    optimizer: keras.optimizers.legacy.Optimizer, variables: list[tf.Variable]
) -> None:
    """Creates its state now: a step in which it is created would be traced twice."""
    with tf.name_scope(optimizer._name):
        optimizer._create_all_weights(variables)


def clip(
    gradients: Sequence[tf.Tensor], limit: float | None
) -> tuple[Sequence[tf.Tensor], dict[str, tf.Tensor]]:
    """Gradients of a global norm of `limit` at most, if there is one, and what is logged.

    'gradient_norm' is the norm before; 'gradient_clipped' is 1 where it was above the limit.
    """
    norm = tf.linalg.global_norm(gradients)
    if limit is None:
        return gradients, {'gradient_norm': norm}
    clipped, _ = tf.clip_by_global_norm(gradients, limit, use_norm=norm)
    above = tf.cast(norm > limit, tf.float32)
    return clipped, {'gradient_norm': norm, 'gradient_clipped': above}


def layerwise_multipliers(model: Classifier, decay: float) -> list[float]:
    """A factor on the rate of each trainable variable: decay^(L + 1 - id) [10, 20].

    Embeddings have the id 0, block i the id i + 1, everything else L + 1.
    """
    num_layers = model.config.backbone.num_layers
    ids = {}
    for modality, embedding in model.embeddings.items():
        ids.update({id(v): 0 for v in embedding.trainable_variables})
        for i, block in enumerate(model.encoder.path(modality)):
            ids.update({id(v): i + 1 for v in block.trainable_variables})
    last = num_layers + 1
    return [decay ** (last - ids.get(id(v), last)) for v in model.trainable_variables]


def shrink_kernels(
    variables: Sequence[tf.Variable],
    amount: float | tf.Tensor,
    factors: Sequence[float] | None = None,
) -> None:
    """Multiplies kernels by 1 - amount, times their `factors`: decay as in the released recipes."""
    for variable, factor in zip(variables, factors or [1.0] * len(variables), strict=True):
        if variable.name.endswith('kernel:0'):
            variable.assign_sub(tf.cast(factor * amount, variable.dtype) * variable)


def move_averages(
    averages: Sequence[tf.Variable],
    variables: Sequence[tf.Variable],
    decay: float,
    step: tf.Tensor,
) -> None:
    """average = d average + (1 - d) variable, d = min(decay, step / (9 + step)), from step 0 on.

    That is TensorFlow's rule for averages that have just begun, (1 + n) / (10 + n), after a first
    step in which they become the variables. Model Garden's optimizer for this starts from zeros,
    sums gradients over replicas itself, and swaps weights with rounding errors.
    """
    step = tf.cast(step, tf.float32)
    kept = tf.minimum(decay, step / (9.0 + step))
    for average, variable in zip(averages, variables, strict=True):
        average.assign(variable + kept * (average - variable))
