"""Information flow in the autoencoder, and what it costs in parameters."""

import numpy as np
import pytest
import tensorflow as tf
from combinations import clips, drawn

from avmae_tf.losses.reconstruction import ReconstructionLoss
from avmae_tf.models.builders import build_avmae, build_classifier


@pytest.fixture(scope='module')
def model(pretrain_config):
    """A model whose zero-initialised parts are drawn, so that information can flow."""
    return drawn(build_avmae(pretrain_config))


def test_no_prediction_depends_on_a_masked_value(model, pretrain_config):
    inputs = clips(pretrain_config)
    masks = model.sample_masks(tf.constant([0, 0]), 2)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        predicted = model(inputs, masks).predicted
        total = tf.add_n([tf.reduce_sum(x**2) for x in predicted.values()])
    for m, gradient in model.patchify(tape.gradient(total, inputs)).items():
        size = tf.reduce_sum(tf.abs(gradient), axis=-1)
        assert not tf.gather(size, masks[m].masked, batch_dims=1).numpy().any()
        assert tf.gather(size, masks[m].visible, batch_dims=1).numpy().all()


@pytest.mark.parametrize(('seen', 'predicted'), [('audio', 'video'), ('video', 'audio')])
def test_mid_fusion_lets_each_modality_see_the_other(model, pretrain_config, seen, predicted):
    inputs = clips(pretrain_config)
    masks = model.sample_masks(tf.constant([0, 0]), 2)
    with tf.GradientTape() as tape:
        tape.watch(inputs[seen])
        outcome = model(inputs, masks)
        total = tf.reduce_sum(outcome.predicted[predicted] ** 2)
    assert tape.gradient(total, inputs[seen]).numpy().any()


def test_predictions_stand_beside_their_targets(model, pretrain_config):
    inputs = clips(pretrain_config)
    masks = model.sample_masks(tf.constant([0, 0]), 2)
    outcome = model(inputs, masks)
    for m, patches in model.patchify(inputs).items():
        np.testing.assert_array_equal(
            outcome.target[m], tf.gather(patches, masks[m].masked, batch_dims=1)
        )
        assert outcome.predicted[m].shape == outcome.target[m].shape
    expected = sum(
        0.5 * np.mean((outcome.predicted[m] - outcome.target[m]) ** 2) for m in outcome.target
    )
    loss = ReconstructionLoss(pretrain_config)
    assert float(loss.total(loss.by_modality(outcome))) == pytest.approx(expected, rel=1e-5)


def test_bottlenecks_carry_information_between_the_streams(finetune_config):
    model = build_classifier(finetune_config, {'label': 3})
    model.head.kernel.assign(tf.ones_like(model.head.kernel))
    inputs = clips(finetune_config)
    for seen, read in (('audio', 'video'), ('video', 'audio')):
        with tf.GradientTape() as tape:
            tape.watch(inputs[seen])
            total = tf.reduce_sum(model.embed(inputs)[read] ** 2)
        assert tape.gradient(total, inputs[seen]).numpy().any()


def test_parameter_count_of_the_tiny_model(pretrain_config, model):
    def dense(inputs, outputs):
        return inputs * outputs + outputs

    def block(d, mlp):
        return 4 * d + dense(d, 3 * d) + dense(d, d) + dense(d, mlp) + dense(mlp, d)

    video, audio, d, e = 2 * 16 * 16 * 3, 16 * 32, 32, 16
    expected = dense(video, d) + dense(audio, d)  # embeddings
    expected += 2 * (2 * block(d, 64) + 2 * d) + block(d, 64) + 2 * d  # two streams, one joint
    expected += 2 * dense(d, e) + 2 * e  # decoder projections and mask tokens
    expected += 2 * block(e, 32) + 2 * e + dense(e, video) + dense(e, audio)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == expected
