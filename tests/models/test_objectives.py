"""Every legal combination of encoder, decoder and objective, and every illegal one refused."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from combinations import FUSIONS, OBJECTIVES, RECONSTRUCTED, clips, drawn, refusal, run, under

from avmae_tf.config import Inpainting, JointReconstruction, MaskingSpec, Mixture, PretrainConfig
from avmae_tf.losses.reconstruction import MeanPatchLoss, ReconstructionLoss
from avmae_tf.models.avmae import Reconstruction
from avmae_tf.models.builders import build_avmae
from avmae_tf.models.masking import gather_tokens
from avmae_tf.models.patches import patchify, standardise
from avmae_tf.training.tasks import PretrainTask
from avmae_tf.training.visuals import pictures


@pytest.mark.parametrize('objective', OBJECTIVES)
@pytest.mark.parametrize(('encoder', 'decoder'), itertools.product(FUSIONS, FUSIONS))
def test_every_combination(settings, encoder, decoder, objective):
    chosen = {'encoder': encoder, 'decoder': decoder, 'objective': OBJECTIVES[objective]}
    message = refusal(encoder, decoder, objective)
    if message:
        with pytest.raises(ValueError, match=message):
            settings(**chosen)
        return
    config = settings(**chosen)
    assert PretrainConfig.from_json(config.to_json()) == config
    loss, _, _, _, outcome = run(config)
    assert tuple(outcome.predicted) == RECONSTRUCTED.get(objective, ('video', 'audio'))
    assert config.reconstructed == tuple(outcome.predicted)
    for m, x in outcome.predicted.items():
        assert x.shape == outcome.target[m].shape
        assert x.shape[:2] == outcome.indices[m].shape
        inpainted = objective != 'mixture of one' or m == 'audio'
        share = 1.0 if inpainted else 1 - config.objective.weight
        np.testing.assert_allclose(tf.reduce_sum(outcome.shares[m]), share, rtol=1e-5)
    assert np.isfinite(loss.total(loss.by_modality(outcome)))


def test_other_illegal_objectives_are_refused(settings):
    def refused(message, **changes):
        with pytest.raises(ValueError, match=message):
            settings(**changes)

    refused('inpainting needs both modalities', objective='inpainting', modalities=('audio',))
    refused(
        r'inpainting video needs fewer visible audio tokens than video tokens, got 12 of 8; mask '
        r'more of the audio \(paper, Sec. 3.4\)',
        objective='inpainting',
        masking=MaskingSpec(),
    )
    refused('weight above zero', video_weight=0, audio_weight=0)
    refused(
        'the loss of audio needs a weight', objective=Inpainting(direction='audio_from_video'),
        audio_weight=0,
    )  # fmt: skip
    refused('weight', objective={'kind': 'mixture', 'weight': 1.0})
    refused('direction', objective={'kind': 'inpainting', 'direction': 'sideways'})
    contrastive = {'kind': 'contrastive'}
    refused('weight', objective={**contrastive, 'weight': 0.0})
    refused('temperature', objective={**contrastive, 'temperature': 0.0})
    refused(
        r"needs both modalities, got modalities=\('audio',\)",
        objective=contrastive,
        modalities=('audio',),
        encoder='shared',
    )
    refused(
        'schedule.batch_size > 1, got 1',
        objective=contrastive,
        schedule={**settings().schedule.model_dump(), 'batch_size': 1},
    )
    refused(
        'kind must be one of joint, inpainting, mixture',
        objective={**contrastive, 'reconstruction': contrastive},
    )
    refused(
        "encoder that mixes the modalities.*encoder='separate'",
        encoder='separate',
        objective={**contrastive, 'reconstruction': 'inpainting'},
    )
    one_way = settings(
        objective=Inpainting(direction='audio_from_video'), masking=MaskingSpec(), decoder='shared'
    )
    assert one_way.reconstructed == ('audio',)
    refused('inpainting video needs fewer', objective=one_way.objective, masking=MaskingSpec(),
            decoder='early')  # fmt: skip


def test_a_bare_name_stands_for_an_objective(settings):
    assert settings(objective='inpainting').objective == Inpainting(direction='both')
    assert settings(objective='mixture').objective == Mixture(weight=0.5)
    assert settings().objective == JointReconstruction()


def test_inpainting_decodes_the_other_modality_then_mask_tokens(settings):
    _, model, inputs, masks, outcome = run(settings(objective='inpainting'))
    given = []
    decode = model.decode
    model.decode = lambda sequences: given.append(sequences) or decode(sequences)
    again = model(inputs, masks)
    ((sequences,), indices) = given, again.indices
    audio = model.decoder_projections['audio'](model.encode(model.patchify(inputs), masks)['audio'])
    assert sequences['video'].shape == (2, 8, 16) and audio.shape == (2, 5, 16)
    np.testing.assert_array_equal(sequences['video'][:, :5], audio)
    np.testing.assert_array_equal(
        sequences['video'][:, 5:], np.broadcast_to(model.mask_tokens['video'], [2, 3, 16])
    )
    np.testing.assert_array_equal(indices['video'], [[5, 6, 7]] * 2)
    np.testing.assert_array_equal(outcome.target['video'], model.patchify(inputs)['video'][:, 5:])


@pytest.mark.parametrize('decoder', ['shared', 'separate'])
def test_one_direction_runs_its_own_side_of_the_decoder_only(settings, decoder):
    config = settings(objective=Inpainting(direction='video_from_audio'), decoder=decoder)
    model, inputs = drawn(build_avmae(config)), clips(config)
    given = []
    model.decode = lambda sequences: given.append(set(sequences)) or sequences
    model(inputs, model.sample_masks(tf.constant([0, 0]), 2))
    assert given == [{'video'}]


def test_one_direction_equals_its_half_of_both(settings):
    both = settings(objective='inpainting')
    one = both.replace(objective=Inpainting(direction='audio_from_video'))
    loss, model, inputs, masks, outcome = run(both)
    alone = under(model, one)(inputs, masks)
    np.testing.assert_allclose(alone.predicted['audio'], outcome.predicted['audio'], atol=1e-6)
    np.testing.assert_allclose(
        loss.by_modality(alone)['audio'], loss.by_modality(outcome)['audio'], rtol=1e-6
    )


def test_a_mixture_is_the_weighted_sum_of_its_parts(settings):
    config = settings(objective=Mixture(weight=0.25))
    loss, model, inputs, masks, outcome = run(config)
    losses = loss.by_modality(outcome)
    parts = {}
    for kind in ('joint', 'inpainting'):
        part = under(model, config.replace(objective=kind))
        parts[kind] = loss.by_modality(part(inputs, masks))
    for m in losses:
        expected = 0.75 * parts['joint'][m] + 0.25 * parts['inpainting'][m]
        np.testing.assert_allclose(losses[m], expected, rtol=1e-5)


def test_equation_1_by_hand(settings):
    predicted = tf.constant([[[1.0, 2.0], [0.0, 0.0]], [[1.0, 1.0], [3.0, 1.0]]])
    target = tf.zeros([2, 2, 2])
    indices = tf.constant([[0, 1], [1, 0]])
    outcome = Reconstruction(
        *({'video': x, 'audio': x} for x in (predicted, target, indices)),
        shares=dict.fromkeys(('video', 'audio'), tf.constant([0.5, 0.5])),
    )
    # errors 5, 0, 2, 10 of four tokens with two values each
    mean = ReconstructionLoss(settings()).by_modality(outcome)
    assert float(mean['video']) == pytest.approx(17 / 8)
    total = ReconstructionLoss(settings(mean_over_patch=False)).by_modality(outcome)
    assert float(total['video']) == pytest.approx(17 / 4)
    weighted = ReconstructionLoss(settings(video_weight=2.0, audio_weight=0.5))
    assert float(weighted.total({'video': 3.0, 'audio': 10.0})) == 11.0
    # the best constant is (1.25, 1): errors .0625 + 1, 1.5625 + 1, .0625 + 0, 3.0625 + 0
    other = outcome._replace(target=outcome.predicted)
    losses, constant = ReconstructionLoss(settings()), MeanPatchLoss('constant', size=3)
    moments = losses.mean_patch_moments(other)['mean_patch_loss_audio']
    constant.update_state(moments, tf.ones([2]))
    assert float(constant.result()) == pytest.approx((1.0625 + 2.5625 + 0.0625 + 3.0625) / 8)


def test_a_clip_that_fills_up_a_batch_counts_nothing(settings, dataset):
    task = PretrainTask(settings(), dataset)
    model, inputs = task.build(), clips(settings(), 2)
    views = {m: x[:, None] for m, x in inputs.items()}
    other = {m: tf.concat([x[:1], 5 * x[1:]], axis=0) for m, x in views.items()}
    weight = tf.constant([1.0, 0.0])
    first = task.eval_scalars(model, {**views, 'weight': weight})
    again = task.eval_scalars(model, {**other, 'weight': weight})
    assert set(first) == set(task.eval_metrics())
    for name, value in first.items():
        np.testing.assert_allclose(value[0], again[name][0], rtol=1e-6)


def test_standardised_targets(settings):
    _, model, inputs, masks, outcome = run(settings())
    config = settings(standardise_targets=True)
    standardised = under(model, config)(inputs, masks)
    for m in ('video', 'audio'):
        x = np.float64(outcome.target[m])
        expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        np.testing.assert_allclose(standardised.target[m], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(standardised.predicted[m], outcome.predicted[m])


def test_pictures_of_standardised_predictions_are_in_the_units_of_the_input(settings):
    config = settings(standardise_targets=True)
    inputs = {m: 3.0 * x - 1.0 for m, x in clips(config).items()}
    masks = build_avmae(config).sample_masks(tf.constant([0, 0]), 2)
    patches = {m: patchify(x, config.inputs(m)) for m, x in inputs.items()}
    indices = {m: mask.masked for m, mask in masks.items()}
    perfect = {m: standardise(gather_tokens(patches[m], i)) for m, i in indices.items()}
    outcome = Reconstruction(perfect, perfect, indices, {})
    for picture in pictures(outcome, inputs, config).values():
        thirds = np.split(picture.astype(int), 3, axis=1)
        assert np.abs(thirds[2] - thirds[0]).max() <= 1
        assert np.abs(thirds[1] - thirds[0]).max() > 1


def test_a_constant_patch_is_standardised_to_zero():
    patches = tf.constant([[[0.37] * 192, [-6.1] * 192]])
    np.testing.assert_array_equal(standardise(patches), np.zeros([1, 2, 192]))


def test_one_modality_alone_goes_through_the_same_classes(settings):
    config = settings(modalities=('audio',), encoder='separate', decoder='separate')
    _, model, _, _, outcome = run(config)
    assert set(outcome.predicted) == {'audio'}
    assert not any('video' in v.name for v in model.trainable_variables)


@pytest.mark.parametrize('objective', ['joint', 'inpainting', 'mixture'])
def test_a_compiled_step_gives_the_eager_loss(settings, objective):
    config = settings(objective=objective)
    loss, model, inputs, masks, outcome = run(config)

    @tf.function(jit_compile=True, autograph=False)
    def compiled(inputs):
        return loss.total(loss.by_modality(model(inputs, masks)))

    expected = loss.total(loss.by_modality(outcome))
    np.testing.assert_allclose(compiled(inputs), expected, rtol=1e-4)
