"""The analytic count of FLOPs against the products in the traced graph of the forward pass."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from combinations import FUSIONS, OBJECTIVES, refusal

from avmae_tf.config import PRETRAIN_RECIPES, AudioSpec, BackboneSpec, MaskingSpec, VideoSpec
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.cost import finetuning_flops, pretraining_flops

INPUTS = {  # 72 and 48 tokens, so that no two numbers that matter are the same
    'video': VideoSpec(num_frames=4, size_px=96),
    'audio': AudioSpec(seconds=0.96),
    'backbone': BackboneSpec(width=48, num_layers=3, num_heads=2, mlp_width=112),
    'masking': MaskingSpec(video_ratio=0.6, audio_ratio=0.5),
}


def product_flops(op: tf.Operation) -> int:
    """2 m n k of one operation, by the shapes of its operands and its result."""
    if op.type == 'MatMul':
        (left, _), (result,) = op.inputs, op.outputs
        return 2 * left.shape[0 if op.get_attr('transpose_a') else 1] * result.shape.num_elements()
    if op.type in ('BatchMatMul', 'BatchMatMulV2', 'BatchMatMulV3'):
        (left, _), (result,) = op.inputs, op.outputs
        return 2 * left.shape[-2 if op.get_attr('adj_x') else -1] * result.shape.num_elements()
    if op.type == 'Einsum':
        terms = op.get_attr('equation').decode().split('->')[0].split(',')
        extents = {}
        for term, operand in zip(terms, op.inputs, strict=True):
            extents |= dict(zip(term, operand.shape, strict=True))
        return 2 * int(np.prod(list(extents.values())))
    if op.type in ('Conv2D', 'Conv3D'):
        (_, kernel), (result,) = op.inputs, op.outputs
        return 2 * int(np.prod(kernel.shape[:-1])) * result.shape.num_elements()
    return 0


def counted_flops(graph) -> int:
    """All products of a graph and of the functions that it calls."""
    total = 0
    for op in graph.get_operations():
        total += product_flops(op)
        if op.type in ('PartitionedCall', 'StatefulPartitionedCall'):
            total += counted_flops(graph._get_function(op.get_attr('f').name).graph)
    return total


def traced_flops(function, config) -> int:
    """Of `function` on the inputs of one clip."""
    signature = {
        m: tf.TensorSpec([1, *config.inputs(m).input_shape], tf.float32) for m in config.modalities
    }
    return counted_flops(
        tf.function(function, autograph=False).get_concrete_function(signature).graph
    )


def test_the_count_of_the_graph_is_right():
    @tf.function(autograph=False)
    def called(x):
        return tf.matmul(x, tf.ones([5, 7]))

    def function(inputs):
        x = called(inputs['a'])  # [3, 7]: 2 * 3 * 5 * 7
        y = tf.matmul(tf.ones([2, 3, 7]), tf.ones([2, 3, 4]), transpose_a=True)  # 2 * 2 * 7 * 3 * 4
        z = tf.einsum('ab,cb->ac', x, tf.ones([11, 7]))  # 2 * 3 * 7 * 11
        w = tf.nn.conv2d(tf.ones([1, 4, 4, 3]), tf.ones([2, 2, 3, 5]), 2, 'VALID')  # 2 * 12 * 20
        return tf.matmul(x, x, transpose_a=True), y, z, w  # 2 * 7 * 3 * 7

    graph = tf.function(function).get_concrete_function({'a': tf.TensorSpec([3, 5])}).graph
    assert counted_flops(graph) == 210 + 336 + 462 + 480 + 294


def pretraining(config) -> int:
    model = build_avmae(config)

    def forward(inputs):
        masks = model.sample_masks(tf.constant([0, 0]), batch=1)
        return model(inputs, masks).predicted

    return traced_flops(forward, config)


LEGAL = [c for c in itertools.product(FUSIONS, FUSIONS, OBJECTIVES) if not refusal(*c)]


@pytest.mark.parametrize(('encoder', 'decoder', 'objective'), LEGAL)
def test_pretraining_counts_what_the_graph_computes(settings, encoder, decoder, objective):
    config = settings(encoder=encoder, decoder=decoder, objective=OBJECTIVES[objective], **INPUTS)
    expected = pretraining(config)
    assert sum(pretraining_flops(config).values()) == expected


@pytest.mark.parametrize('modality', ['video', 'audio'])
def test_pretraining_of_one_modality(settings, modality):
    config = settings(encoder='mid', modalities=(modality,), **INPUTS)
    expected = pretraining(config)
    assert sum(pretraining_flops(config).values()) == expected


BOTTLENECK = {'kind': 'bottleneck', 'fusion_layer': 1, 'num_bottlenecks': 9}


@pytest.mark.parametrize(
    'changes',
    [
        {'fusion': BOTTLENECK},
        {'fusion': {**BOTTLENECK, 'fusion_layer': 3}},
        {'fusion': BOTTLENECK, 'modalities': ('audio',)},
        {'fusion': BOTTLENECK, 'segments': 10},
        {'fusion': 'mid'},
        {'fusion': 'early', 'norm_after_pooling': True},
        {'fusion': 'separate', 'modalities': ('video',)},
        {'fusion': 'shared'},
    ],
)
def test_finetuning_counts_what_the_graph_computes(finetune_config, changes):
    inputs = {k: v for k, v in INPUTS.items() if k != 'masking'}
    config = finetune_config.replace(**inputs, **changes)
    model = build_classifier(config, {'noun': 23, 'verb': 14})
    expected = traced_flops(model, config)
    assert sum(finetuning_flops(config, 37).values()) == expected


def test_a_clip_of_the_paper():
    """ViT-Base on 157 + 200 tokens, 2 of 12 blocks joint; decoders of width 384, 4 blocks."""
    flops = pretraining_flops(PRETRAIN_RECIPES['vggsound-base'])

    def block(n, d):  # q, k, v, out; scores and values; the MLP, four times as wide
        return 2 * n * d * (4 * d) + 2 * (2 * n * n * d) + 2 * n * d * (8 * d)

    assert flops['encoder'] == 10 * (block(157, 768) + block(200, 768)) + 2 * block(357, 768)
    assert flops['decoder'] == 4 * (block(1568, 384) + block(400, 384))
    assert flops['prediction'] == 2 * 384 * (1411 * 1536 + 200 * 256)
