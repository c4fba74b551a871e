"""The downstream classifier: what is pooled, how heads lie, what a probe trains."""

import numpy as np
import pytest
import tensorflow as tf
from combinations import clips, drawn

from avmae_tf.config import Bottleneck, FinetuneConfig
from avmae_tf.models.builders import build_classifier
from avmae_tf.models.classifier import mean_logits, pooling_weights, view_averaged_logits
from avmae_tf.models.patches import patchify


def test_tokens_count_by_the_time_they_share_with_a_segment(finetune_config):
    grid = finetune_config.audio  # 6 cells in time, 4 in frequency
    weights = pooling_weights(grid, 4).reshape(4, 6, 4).sum(axis=2)
    third = 1 / 3
    expected = [[2, 1, 0, 0, 0, 0], [0, 1, 2, 0, 0, 0], [0, 0, 0, 2, 1, 0], [0, 0, 0, 0, 1, 2]]
    np.testing.assert_allclose(weights, np.array(expected) * third, atol=1e-6)
    np.testing.assert_allclose(pooling_weights(grid, 1), np.full([1, 24], 1 / 24), rtol=1e-6)


def test_the_mean_over_segments_of_equal_length_is_the_mean_over_all(finetune_config):
    whole = drawn(build_classifier(finetune_config, {'event': 4}), stddev=0.2)
    parts = build_classifier(finetune_config.replace(segments=2), {'event': 4})
    for a, b in zip(parts.weights, whole.weights, strict=True):
        a.assign(b)
    inputs = clips(finetune_config)
    logits = {m: tf.reduce_mean(x, axis=1) for m, x in parts(inputs).items()}
    for modality, expected in whole(inputs).items():
        np.testing.assert_allclose(logits[modality], expected, atol=1e-4)


def test_heads_lie_side_by_side(finetune_config):
    model = drawn(build_classifier(finetune_config, {'noun': 5, 'verb': 3}), stddev=0.2)
    logits = mean_logits(model(clips(finetune_config)))
    by_head = model.split_heads(logits)
    assert {head: x.shape[-1] for head, x in by_head.items()} == {'noun': 5, 'verb': 3}
    np.testing.assert_array_equal(tf.concat(list(by_head.values()), axis=-1), logits)


def test_a_probe_leaves_the_encoder_alone(finetune_config):
    model = drawn(
        build_classifier(finetune_config.replace(freeze_encoder=True), {'label': 3}), stddev=0.2
    )
    with tf.GradientTape() as tape:
        logits = model(clips(finetune_config), seed=tf.constant([0, 0]))
        loss = tf.reduce_sum(mean_logits(logits) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    moved = [v for v, g in zip(model.trainable_variables, gradients, strict=True) if g is not None]
    assert [id(v) for v in moved] == [id(v) for v in model.head.trainable_variables]


@pytest.mark.parametrize('fusion_layer', [0, 1, 3])
def test_fusion_at_every_layer_or_never(finetune_config, fusion_layer):
    config = finetune_config.replace(fusion=Bottleneck(fusion_layer=fusion_layer))
    model = drawn(build_classifier(config, {'label': 3}), stddev=0.2)
    inputs = clips(config)
    with tf.GradientTape() as tape:
        tape.watch(inputs['audio'])
        total = tf.reduce_sum(model.embed(inputs)['video'] ** 2)
    seen = tape.gradient(total, inputs['audio'])
    if fusion_layer == 3:
        assert seen is None and model.encoder.bottleneck is None
    else:
        assert seen.numpy().any()


def test_rematerialised_blocks_give_the_same_gradients(finetune_config):
    plain = drawn(build_classifier(finetune_config, {'label': 3}), stddev=0.2)
    again = build_classifier(finetune_config.replace(rematerialise=True), {'label': 3})
    for a, b in zip(again.weights, plain.weights, strict=True):
        a.assign(b)
    inputs = clips(finetune_config)

    def gradients(model):
        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                logits = model(inputs, seed=tf.constant([3, 4]))
                loss = tf.reduce_sum(mean_logits(logits) ** 2)
            return tape.gradient(loss, model.trainable_variables)

        return step()

    for a, b in zip(gradients(again), gradients(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_last_norm_may_follow_the_mean(finetune_config):
    settings = finetune_config.replace(fusion='separate', norm_after_pooling=True)
    assert FinetuneConfig.from_json(settings.to_json()) == settings
    model = drawn(build_classifier(settings, {'label': 3}), stddev=0.2)
    inputs = clips(settings)
    tokens = {m: e(patchify(inputs[m], e.grid)) for m, e in model.embeddings.items()}
    for modality, pooled in model.embed(inputs).items():
        (stage,) = model.encoder.stages
        x = tokens[modality]
        for block in stage.stack_of(modality).blocks:
            x = block(x)
        expected = model.encoder.last_norm(modality)(tf.reduce_mean(x, axis=1))
        np.testing.assert_allclose(pooled, expected, atol=1e-5)
    plain = build_classifier(settings.replace(norm_after_pooling=False), {'label': 3})
    assert [v.shape for v in plain.trainable_variables] == [
        v.shape for v in model.trainable_variables
    ]


def test_views_are_classified_one_after_the_other(finetune_config, monkeypatch):
    model = drawn(build_classifier(finetune_config, {'label': 3}), stddev=0.2)
    together = clips(finetune_config, batch=6)
    views = {m: tf.reshape(x, [2, 3, *x.shape[1:]]) for m, x in together.items()}
    expected = tf.reduce_mean(tf.reshape(mean_logits(model(together)), [2, 3, -1]), axis=1)
    batches = []
    call = model.call
    monkeypatch.setattr(model, 'call', lambda x: batches.append(x['audio'].shape[0]) or call(x))
    found = tf.function(view_averaged_logits, autograph=False)(model, views)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert batches == [2]  # traced once, and of all clips at a time
