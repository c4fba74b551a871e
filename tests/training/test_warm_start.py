"""A classifier takes the blocks of its pretrained encoder, path to path."""

import numpy as np
import pytest

from avmae_tf.config import BackboneSpec
from avmae_tf.training.tasks import build_avmae, build_classifier
from avmae_tf.training.warm_start import warm_start


@pytest.fixture(scope='module')
def pretrained(pretrain_config):
    return build_avmae(pretrain_config)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.weights, b.weights, strict=True))


def test_mid_encoder_into_both_streams(pretrained, finetune_config):
    model = build_classifier(finetune_config, 3)
    taken = warm_start(model, pretrained)
    separate, joint = (stage.stack_of('video') for stage in pretrained.encoder.stages)
    for modality in ('video', 'audio'):
        path = model.encoder.path(modality)
        own = pretrained.encoder.stages[0].stack_of(modality)
        assert all(same(a, b) for a, b in zip(path, [*own.blocks, *joint.blocks], strict=True))
        assert same(model.embeddings[modality], pretrained.embeddings[modality])
    assert not same(model.encoder.path('audio')[0], separate.blocks[0])
    assert same(model.encoder.norm, joint.norm)
    assert taken.left == ('head',)
    assert '3 video blocks' in str(taken)


def test_the_streams_are_untied_after_the_copy(pretrained, finetune_config):
    model = build_classifier(finetune_config, 3)
    warm_start(model, pretrained)
    video, audio = (model.encoder.path(m)[-1].mlp.out.bias for m in ('video', 'audio'))
    video.assign_add(video + 1)
    assert not np.array_equal(video, audio)


def test_one_modality_alone(pretrained, finetune_config):
    model = build_classifier(finetune_config.replace(modalities=('audio',)), 3)
    taken = warm_start(model, pretrained)
    assert taken.taken == ('audio embedding', '3 audio blocks', 'last norm')


def test_another_backbone_is_refused(pretrained, finetune_config):
    wide = BackboneSpec(width=48, num_layers=3, num_heads=2, mlp_width=64)
    with pytest.raises(ValueError, match=r'video embedding has the shape .*48.* 32'):
        warm_start(build_classifier(finetune_config.replace(backbone=wide), 3), pretrained)
    deep = BackboneSpec(width=32, num_layers=4, num_heads=2, mlp_width=64)
    with pytest.raises(ValueError, match='the classifier has 4 blocks, the pretrained encoder 3'):
        warm_start(build_classifier(finetune_config.replace(backbone=deep), 3), pretrained)
