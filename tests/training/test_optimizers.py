"""Schedules by value, and the factors of layer-wise decay."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import SGD, Adam, ScheduleSpec
from avmae_tf.models.builders import build_classifier
from avmae_tf.training.optimizers import (
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


def test_weight_decay_shrinks_kernels_alone():
    kernel, bias = tf.Variable([2.0], name='kernel'), tf.Variable([2.0], name='bias')
    shrink_kernels([kernel, bias], tf.constant(0.05 * 0.1))
    assert kernel.numpy()[0] == pytest.approx(2.0 * (1 - 0.005)) and bias.numpy()[0] == 2.0
