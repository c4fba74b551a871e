"""Schedules, optimizers and what is done to gradients before they are applied (appendix B)."""

import tensorflow as tf
import tf_keras as keras
from official.modeling.optimization import lr_schedule

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


def make_optimizer(
    spec: Adam | SGD, schedule: Schedule | float
) -> keras.optimizers.legacy.Optimizer:
    """Adam (Table 20) or SGD with momentum (Tables 22 to 24).

    Those of `legacy` update a variable in one fused operation, in a third of the time.
    """
    match spec:
        case Adam(beta_1=beta_1, beta_2=beta_2):
            return keras.optimizers.legacy.Adam(
                schedule, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8
            )
        case SGD(momentum=momentum):
            return keras.optimizers.legacy.SGD(schedule, momentum=momentum)
        case _:
            raise TypeError(f'no such optimizer: {spec!r}')


def create_slots(
    optimizer: keras.optimizers.legacy.Optimizer, variables: list[tf.Variable]
) -> None:
    """Creates its state now: a step in which it is created would be traced twice."""
    with tf.name_scope(optimizer._name):
        optimizer._create_all_weights(variables)


def layerwise_multipliers(model: Classifier, decay: float) -> list[float]:
    """A factor on the update of each trainable variable: decay^(L + 1 - id) [10, 20].

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


def scale(gradients: list[tf.Tensor], multipliers: list[float]) -> list[tf.Tensor]:
    """Gradients times their factors; the update of SGD, linear in them, is scaled alike."""
    return [g if m == 1.0 else g * m for g, m in zip(gradients, multipliers, strict=True)]


def shrink_kernels(variables: list[tf.Variable], factor: tf.Tensor) -> None:
    """Multiplies kernels by 1 - factor: the weight decay of the released recipes."""
    for variable in variables:
        if variable.name.endswith('kernel:0'):
            variable.assign_sub(tf.cast(factor, variable.dtype) * variable)
