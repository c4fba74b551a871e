"""A fusion and an objective defined outside of the package work: a spec, a builder, no more."""

from typing import ClassVar, Literal

import numpy as np
import pytest
import tensorflow as tf
from combinations import clips, drawn

from avmae_tf import config
from avmae_tf.config import PretrainConfig
from avmae_tf.losses.reconstruction import ReconstructionLoss
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.cost import block_flops, pretraining_flops
from avmae_tf.models.fusion import Fusion, Joint, Streams, fusion_of
from avmae_tf.models.sequences import build_sequences
from avmae_tf.training.warm_start import warm_start


class EarlyMeeting(config.Fusion):
    """One joint block first, separate ones after it."""

    kind: Literal['early_meeting'] = 'early_meeting'
    couples: ClassVar[bool] = True

    def passes(self, num_layers, num_tokens):
        return [(1, sum(num_tokens.values())), *((num_layers - 1, n) for n in num_tokens.values())]


@fusion_of.register
def _(spec: EarlyMeeting, parts):
    apart = Streams({m: parts.stack(m, 1) for m in parts.modalities})
    return Fusion([Joint(parts.stack('joint', 0, 1)), apart], name=parts.name)


class Everything(config.Objective):
    """Visible tokens are reconstructed too."""

    kind: Literal['everything'] = 'everything'

    def sources(self, modalities, decoder):
        return {m: m for m in modalities}


@build_sequences.register
def _(objective: Everything, given, mask_tokens, masks):
    sequences, _ = build_sequences(config.JointReconstruction(), given, mask_tokens, masks)
    places = {m: tf.range(masks[m].num_tokens) for m in given}
    return sequences, {
        m: tf.broadcast_to(places[m], [tf.shape(x)[0], x.shape[1]]) for m, x in sequences.items()
    }


@pytest.fixture
def settings(pretrain_config):
    return pretrain_config.replace(encoder='early_meeting', objective='everything')


def test_a_new_fusion_and_objective_are_settings_like_the_others(settings):
    assert isinstance(settings.encoder, EarlyMeeting)
    assert PretrainConfig.from_json(settings.to_json()) == settings
    with pytest.raises(ValueError, match="early_meeting, got 'sideways'"):
        settings.replace(encoder='sideways')


def test_they_are_built_trained_and_counted(settings):
    model, inputs = drawn(build_avmae(settings)), clips(settings)
    masks = model.sample_masks(tf.constant([0, 0]), 2)
    loss = ReconstructionLoss(settings)

    @tf.function(jit_compile=True, autograph=False)
    def step():
        with tf.GradientTape() as tape:
            total = loss.total(loss.by_modality(model(inputs, masks)))
        return total, tape.gradient(total, model.encoder.trainable_variables)

    total, gradients = step()
    assert np.isfinite(total) and all(g is not None for g in gradients)
    outcome = model(inputs, masks)
    for m, patches in model.patchify(inputs).items():
        np.testing.assert_array_equal(outcome.target[m], patches)
    visible, backbone = settings.num_visible_tokens, settings.backbone
    apart = sum(block_flops(backbone, n) for n in visible.values())
    assert pretraining_flops(settings)['encoder'] == (
        block_flops(backbone, sum(visible.values())) + (backbone.num_layers - 1) * apart
    )


def test_a_classifier_starts_from_them(settings, finetune_config):
    model = build_classifier(finetune_config.replace(fusion='early_meeting'), {'label': 3})
    pretrained = drawn(build_avmae(settings))
    warm_start(model, pretrained)
    for m in settings.modalities:
        for ours, theirs in zip(model.encoder.path(m), pretrained.encoder.path(m), strict=True):
            for a, b in zip(ours.variables, theirs.variables, strict=True):
                np.testing.assert_array_equal(a, b)


def test_what_has_no_builder_is_an_error(pretrain_config):
    class Unbuilt(config.Fusion):
        kind: Literal['unbuilt'] = 'unbuilt'
        couples: ClassVar[bool] = True

    with pytest.raises(TypeError, match="no layers are defined for the fusion 'unbuilt'"):
        build_avmae(pretrain_config.replace(encoder=Unbuilt()))
