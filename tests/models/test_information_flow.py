"""Who sees whom, by gradient."""

import numpy as np
import pytest
import tensorflow as tf
from combinations import FUSIONS, OBJECTIVES, clips, drawn, refusal, run

from avmae_tf.config import Inpainting
from avmae_tf.models.builders import build_avmae

MIXES = {'early': True, 'separate': False, 'shared': False, 'mid': True}


def total(tensors) -> tf.Tensor:
    return tf.add_n([tf.reduce_sum(x**2) for x in tensors])


def sees(tape, outputs, inputs) -> bool:
    gradient = tape.gradient(outputs, inputs)
    return gradient is not None and bool(tf.reduce_any(tf.convert_to_tensor(gradient) != 0))


@pytest.mark.parametrize('encoder', FUSIONS)
def test_which_encoders_let_a_modality_see_the_other(settings, encoder):
    config = settings(encoder=encoder)
    model, inputs = drawn(build_avmae(config)), clips(config)
    masks = model.sample_masks(tf.constant([0, 0]), 2)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        encoded = {m: total([x]) for m, x in model.encode(model.patchify(inputs), masks).items()}
    for read, seen in (('video', 'audio'), ('audio', 'video')):
        assert sees(tape, encoded[read], inputs[read])
        assert sees(tape, encoded[read], inputs[seen]) == MIXES[encoder]


@pytest.mark.parametrize('encoder', FUSIONS)
def test_what_is_contrasted_has_seen_its_own_visible_patches_alone(settings, encoder):
    config = settings(encoder=encoder, objective='contrastive')
    _, model, inputs, masks, _ = run(config)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outcome = model(inputs, masks)
        pooled = {m: total([x]) for m, x in outcome.pooled.items()}
    for read, other in (('video', 'audio'), ('audio', 'video')):
        assert not sees(tape, pooled[read], inputs[other])
        gradient = model.patchify({**inputs, read: tape.gradient(pooled[read], inputs[read])})[read]
        size = tf.reduce_sum(tf.abs(gradient), axis=-1)
        assert tf.gather(size, masks[read].visible, batch_dims=1).numpy().all()
        assert not tf.gather(size, masks[read].masked, batch_dims=1).numpy().any()


@pytest.mark.parametrize('encoder', FUSIONS)
def test_each_modality_alone_is_what_a_clip_without_the_other_gives(settings, encoder):
    config = settings(encoder=encoder)
    _, model, inputs, masks, _ = run(config)
    tokens = model.visible_tokens(model.patchify(inputs), masks)
    together, alone = model.encoder.with_each_alone(tokens)
    for m, x in tokens.items():
        np.testing.assert_allclose(together[m], model.encoder(tokens)[m], atol=1e-6)
        np.testing.assert_allclose(alone[m], model.encoder({m: x})[m], atol=1e-6)
        mixed = np.abs(together[m] - alone[m]).max() > 1e-3
        assert mixed == MIXES[encoder]


@pytest.mark.parametrize('decoder', FUSIONS)
def test_which_decoders_let_a_modality_see_the_other(settings, decoder):
    config = settings(encoder='shared', decoder=decoder)
    model = drawn(build_avmae(config))
    sequences = {
        m: tf.random.stateless_normal([2, config.inputs(m).num_tokens, 16], [0, i])
        for i, m in enumerate(config.modalities)
    }
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(sequences)
        decoded = {m: total([x]) for m, x in model.decode(sequences).items()}
    for read, seen in (('video', 'audio'), ('audio', 'video')):
        assert sees(tape, decoded[read], sequences[read])
        assert sees(tape, decoded[read], sequences[seen]) == MIXES[decoder]


@pytest.mark.parametrize('objective', OBJECTIVES)
@pytest.mark.parametrize(
    ('encoder', 'decoder'),
    [('early', 'shared'), ('mid', 'early'), ('separate', 'shared'), ('shared', 'mid')],
)
def test_no_prediction_depends_on_a_masked_pixel(settings, encoder, decoder, objective):
    if refusal(encoder, decoder, objective):
        pytest.skip('not a legal combination')
    config = settings(encoder=encoder, decoder=decoder, objective=OBJECTIVES[objective])
    model, inputs = drawn(build_avmae(config)), clips(config)
    masks = model.sample_masks(tf.constant([0, 0]), 2)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        predicted = model(inputs, masks).predicted
        loss = total(predicted.values())
    gradients = tape.gradient(loss, inputs)
    reached = 0
    for m, gradient in gradients.items():
        patches = model.patchify({n: gradient if n == m else inputs[n] for n in inputs})[m]
        size = tf.reduce_sum(tf.abs(patches), axis=-1)
        assert not tf.gather(size, masks[m].masked, batch_dims=1).numpy().any()
        reached += bool(tf.gather(size, masks[m].visible, batch_dims=1).numpy().all())
    assert reached >= 1


@pytest.mark.parametrize('decoder', ['shared', 'separate'])
@pytest.mark.parametrize(('read', 'given'), [('video', 'audio'), ('audio', 'video')])
def test_inpainting_decodes_from_the_other_modality_alone(settings, decoder, read, given):
    """What it knows of its own visible tokens is what the encoder mixed into the other's."""
    config = settings(objective=Inpainting(), decoder=decoder)
    _, model, inputs, masks, _ = run(config)
    patches = model.patchify(inputs)
    encoded = model.encode(patches, masks)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(encoded)
        outcome = model.reconstruct(config.objective, 1.0, patches, encoded, masks)
        predicted = total([outcome.predicted[read]])
    assert sees(tape, predicted, encoded[given])
    assert not sees(tape, predicted, encoded[read])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        predicted = total([model(inputs, masks).predicted[read]])
    assert sees(tape, predicted, inputs[given])
    assert sees(tape, predicted, inputs[read])


def test_learned_positions_and_modality_tokens_learn(settings):
    config = settings(positions='learned', modality_tokens=True)
    loss_, model, inputs, masks, _ = run(config)
    with tf.GradientTape() as tape:
        loss = loss_.total(loss_.by_modality(model(inputs, masks)))
    gradients = tape.gradient(loss, model.trainable_variables)
    names = [v.name for v in model.trainable_variables]
    learned = [n for n in names if 'positions' in n or 'modality_token' in n]
    assert len(learned) == 2 + 4
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient is not None, name
        assert tf.reduce_any(tf.convert_to_tensor(gradient) != 0) or 'query_key_value' in name, name
