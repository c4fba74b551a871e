"""Schedules by value, and the factors of layer-wise decay."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import SGD, Adam, ScheduleSpec
from avmae_tf.models.builders import build_classifier
from avmae_tf.training import devices
from avmae_tf.training.optimizers import (
    create_slots,
    layerwise_multipliers,
    make_optimizer,
    make_schedule,
    shrink_kernels,
)

SPEC = ScheduleSpec(
    learning_rate=1.0, reference_batch_size=10, batch_size=10, epochs=10, warmup_epochs=2
)


@pytest.mark.parametrize(
    ('step', 'value'),
    [(0, 0.0), (1, 0.05), (10, 0.5), (20, 1.0), (60, 0.5), (80, (1 - 0.5**0.5) / 2), (100, 0.0)],
)
def test_warm_up_then_half_a_cosine(step, value):
    schedule = make_schedule(SPEC, num_examples=100)
    assert float(schedule(tf.constant(step, tf.int64))) == pytest.approx(value, abs=1e-6)


def test_momentum_by_hand():
    variable = tf.Variable([1.0])
    optimizer = make_optimizer(SGD(momentum=0.9), 0.1)
    for expected in (0.9, 0.71, 0.439):  # velocity 0.1, 0.19, 0.271
        optimizer.apply_gradients([(tf.constant([1.0]), variable)])
        assert variable.numpy()[0] == pytest.approx(expected)


@pytest.mark.parametrize('betas', [(0.9, 0.95), (0.5, 0.999)])
def test_adam_by_hand(betas):
    """[Kingma & Ba 2015, Alg. 1], whose first step, of any gradient, is the rate itself."""
    variable, optimizer = (
        tf.Variable([1.0]),
        make_optimizer(Adam(beta_1=betas[0], beta_2=betas[1]), 0.1),
    )
    expected, mean, square = 1.0, 0.0, 0.0
    for step, gradient in enumerate((4.0, -1.0, 0.5, 0.0, 2.0), 1):
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient**2
        unbiased = mean / (1 - betas[0] ** step), square / (1 - betas[1] ** step)
        expected -= 0.1 * unbiased[0] / (unbiased[1] ** 0.5 + 1e-8)
        optimizer.apply_gradients([(tf.constant([gradient]), variable)])
        assert variable.numpy()[0] == pytest.approx(expected, abs=1e-6)
    assert make_optimizer(Adam(), 0.1).get_config()['beta_2'] == 0.95  # Table 20


def test_layerwise_decay_counts_from_the_head(finetune_config):
    model = build_classifier(finetune_config, {'label': 4})
    factors = layerwise_multipliers(model, 0.5)
    by_name = dict(zip([id(v) for v in model.trainable_variables], factors, strict=True))
    assert by_name[id(model.head.kernel)] == 1.0
    assert by_name[id(model.encoder.bottleneck)] == 1.0
    assert by_name[id(model.encoder.norm.scale)] == 1.0
    for modality in ('video', 'audio'):
        assert by_name[id(model.embeddings[modality].projection.kernel)] == 0.5**4
        for i, block in enumerate(model.encoder.path(modality)):
            assert by_name[id(block.mlp.out.kernel)] == 0.5 ** (3 - i)
    assert np.unique(factors).tolist() == [0.0625, 0.125, 0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    'strategy', [tf.distribute.OneDeviceStrategy('CPU:0'), devices.default_strategy()]
)
@pytest.mark.parametrize('spec', [Adam(), SGD(momentum=0.5)])
def test_a_factor_on_a_rate_is_one_on_every_update(spec, strategy):
    """In Adam, too, where one on the gradients would be lost."""
    with strategy.scope():
        plain, slow = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
        optimizer = make_optimizer(spec, 0.1, [(plain, 1.0), (slow, 0.25)])
    create_slots(optimizer, [plain, slow])

    @tf.function(autograph=False)
    def step(gradient):
        optimizer.apply_gradients(
            [(gradient, plain), (gradient, slow)], experimental_aggregate_gradients=False
        )

    for gradient in ([1.0, -3.0], [0.5, 0.1]):
        strategy.run(step, args=(tf.constant(gradient),))
    copies = zip(*(strategy.experimental_local_results(v) for v in (plain, slow)), strict=True)
    for all_of_it, part in copies:
        moved = all_of_it.numpy() - [1.0, 2.0]
        assert np.all(np.abs(moved) > 0.01)
        np.testing.assert_allclose(part.numpy() - [1.0, 2.0], 0.25 * moved, rtol=1e-4)


def test_a_rate_that_is_the_same_for_all_is_computed_once():
    class Counting(keras.optimizers.schedules.LearningRateSchedule):
        calls = 0

        def __call__(self, step):
            self.calls += 1
            return tf.constant(0.1)

    schedule, variables = Counting(), [tf.Variable([1.0]) for _ in range(5)]
    optimizer = make_optimizer(Adam(), schedule, [(v, 0.5) for v in variables])
    optimizer.apply_gradients([(tf.constant([1.0]), v) for v in variables])
    assert schedule.calls == 1


def test_weight_decay_shrinks_kernels_alone():
    kernel, bias = tf.Variable([2.0], name='kernel'), tf.Variable([2.0], name='bias')
    shrink_kernels([kernel, bias], tf.constant(0.05 * 0.1))
    assert kernel.numpy()[0] == pytest.approx(2.0 * (1 - 0.005)) and bias.numpy()[0] == 2.0
    shrink_kernels([kernel, bias], 0.1, [0.5, 1.0])
    assert kernel.numpy()[0] == pytest.approx(2.0 * (1 - 0.005) * 0.95) and bias.numpy()[0] == 2.0


def test_adam_with_weight_decay_is_adamw():
    """[Loshchilov & Hutter 2019, Alg. 2] but for rate^2 decay, as kernels shrink after the step."""
    rate, decay = 1e-3, 0.5
    kernel = tf.Variable([2.0], name='kernel')
    optimizer, theirs = make_optimizer(Adam(beta_2=0.999), rate), 2.0
    mean = square = 0.0
    for step, gradient in enumerate((3.0, -1.0, 0.2), 1):
        optimizer.apply_gradients([(tf.constant([gradient]), kernel)])
        shrink_kernels([kernel], rate * decay)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        theirs -= rate * (unbiased[0] / (unbiased[1] ** 0.5 + 1e-8) + decay * theirs)
    assert kernel.numpy()[0] == pytest.approx(theirs, abs=3 * rate**2)
    assert abs(theirs - 2.0) > 100 * rate**2
