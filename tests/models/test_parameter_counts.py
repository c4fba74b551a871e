"""How large every model of the paper is, counted and written out."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import (
    BACKBONES,
    DECODER_WIDTHS,
    AudioSpec,
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    FinetuneConfig,
    Mid,
    PretrainConfig,
    ScheduleSpec,
    VideoSpec,
)
from avmae_tf.models.blocks import Block
from avmae_tf.models.builders import build_avmae, build_classifier

SCHEDULE = ScheduleSpec(learning_rate=1, reference_batch_size=1, batch_size=1, epochs=1)
VIDEO, AUDIO = 2 * 16 * 16 * 3, 16 * 16  # values of a patch
S = 2  # joint blocks of mid fusion


def count(build, *arguments) -> int:
    """Parameters of a model of which a graph has the variables alone: nothing is allocated."""
    with tf.Graph().as_default(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Block, 'call', lambda self, x, kept=None: x)
        model = tf.autograph.experimental.do_not_convert(build)(*arguments)
        return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def blocks(number: int, d: int, mlp: int) -> int:
    norms = 2 * 2 * d
    return number * (norms + dense(d, 3 * d) + dense(d, d) + dense(d, mlp) + dense(mlp, d))


def fusion(kind: str, layers: int, d: int, mlp: int) -> int:
    norm = 2 * d
    one = blocks(layers, d, mlp) + norm
    match kind:
        case 'early' | 'shared':
            return one
        case 'separate':
            return 2 * one
        case 'mid':
            return 2 * (blocks(layers - S, d, mlp) + norm) + blocks(S, d, mlp) + norm


def pretraining(backbone: str, encoder: str, decoder: str) -> int:
    d, layers, _, mlp = BACKBONES[backbone]
    e, _ = DECODER_WIDTHS[backbone]
    embeddings = dense(VIDEO, d) + dense(AUDIO, d)
    into_decoder = 2 * (dense(d, e) + e)  # a projection and a mask token for each modality
    predictions = dense(e, VIDEO) + dense(e, AUDIO)
    decoder_blocks = fusion(decoder, 4, e, 4 * e)
    return (
        embeddings + fusion(encoder, layers, d, mlp) + into_decoder + decoder_blocks + predictions
    )


@pytest.mark.parametrize(
    ('backbone', 'encoder', 'decoder', 'millions'),
    [
        ('base', 'early', 'shared', 94.81),
        ('base', 'early', 'early', 94.81),
        ('base', 'shared', 'shared', 94.81),
        ('base', 'separate', 'shared', 179.87),
        ('base', 'mid', 'shared', 165.70),
        ('base', 'mid', 'separate', 165.70 + 7.10),
        ('large', 'early', 'shared', 318.73),
        ('large', 'shared', 'separate', 318.73 + 12.61),
        ('large', 'separate', 'shared', 621.04),
        ('large', 'mid', 'shared', 595.85),
    ],
)
def test_pretraining_models(backbone, encoder, decoder, millions):
    config = PretrainConfig(
        backbone=backbone,
        encoder=Mid(fused_layers=S) if encoder == 'mid' else encoder,
        decoder=DecoderSpec.for_backbone(backbone, fusion=decoder),
        schedule=SCHEDULE,
    )
    number = count(build_avmae, config)
    assert number == pretraining(backbone, encoder, decoder)
    assert number / 1e6 == pytest.approx(millions, abs=0.006)


def test_options_add_only_what_they_say():
    def number(**changes):
        decoder = DecoderSpec.for_backbone('tiny')
        settings = PretrainConfig(
            backbone=BackboneSpec(width=192, num_layers=4, num_heads=3, mlp_width=768),
            decoder=decoder,
            video=VideoSpec(num_frames=4, size_px=96),
            audio=AudioSpec(seconds=1.0),
            schedule=SCHEDULE.replace(batch_size=2),
            **changes,
        )
        return count(build_avmae, settings)

    plain, d, e = number(), 192, 96
    assert number(modality_tokens=True) - plain == 2 * (d + e)
    assert number(positions='learned') - plain == (72 + 48) * d
    early = number(encoder='early')
    for objective in ('inpainting', 'mixture', 'contrastive'):
        assert number(encoder='early', objective=objective) == early


def finetuning(backbone: str, modalities, classes: int) -> int:
    d, layers, _, mlp = BACKBONES[backbone]
    embeddings = sum({'video': dense(VIDEO, d), 'audio': dense(AUDIO, d)}[m] for m in modalities)
    bottlenecks = 4 * d if len(modalities) > 1 else 0
    streams = len(modalities) * blocks(layers, d, mlp)
    return embeddings + streams + 2 * d + bottlenecks + dense(d, classes)


@pytest.mark.parametrize(
    ('backbone', 'modalities', 'classes', 'millions'),
    [
        ('base', ('video', 'audio'), 309, 171.73),
        ('base', ('video', 'audio'), 527, 171.90),
        ('large', ('video', 'audio'), 309, 606.78),
        ('large', ('video', 'audio'), 527, 607.00),
        ('base', ('video',), 309, 86.48),
        ('base', ('audio',), 309, 85.49),
        ('large', ('video',), 309, 304.2),
        ('large', ('audio',), 309, 302.9),
    ],
)
def test_finetuning_models(backbone, modalities, classes, millions):
    config = FinetuneConfig(
        backbone=backbone,
        modalities=modalities,
        video=VideoSpec(num_frames=32),
        audio=AudioSpec(),
        fusion=Bottleneck(fusion_layer=8),
        schedule=SCHEDULE,
    )
    number = count(build_classifier, config, {'label': classes})
    assert number == finetuning(backbone, modalities, classes)
    assert number / 1e6 == pytest.approx(millions, abs=0.06 if backbone == 'large' else 0.006)


def test_a_graph_counts_what_a_model_has(pretrain_config):
    variables = build_avmae(pretrain_config).trainable_variables
    assert sum(int(np.prod(v.shape)) for v in variables) == count(build_avmae, pretrain_config)
