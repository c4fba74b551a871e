"""The parts of a model with their parameters, its tokens, and what a clip costs."""

import math

import pytest

from avmae_tf.config import FINETUNE_RECIPES, PRETRAIN_RECIPES
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.training.summary import summarise


def rows(summary):
    names = ('part', 'blocks', 'width', 'heads', 'parameters')
    return [tuple(part[name] for name in names) for part in summary['parts']]


def test_the_autoencoder_of_the_paper():
    summary = summarise(PRETRAIN_RECIPES['vggsound-base'])
    block, light, norm = 12 * 768**2 + 13 * 768, 12 * 384**2 + 13 * 384, 2 * 768
    assert rows(summary) == [
        ('video embedding', 0, 768, 0, 1537 * 768),
        ('audio embedding', 0, 768, 0, 257 * 768),
        ('encoder, video', 10, 768, 12, 10 * block + norm),
        ('encoder, audio', 10, 768, 12, 10 * block + norm),
        ('encoder, video and audio', 2, 768, 12, 2 * block + norm),
        ('video decoder projection', 0, 384, 0, 769 * 384),
        ('audio decoder projection', 0, 384, 0, 769 * 384),
        ('mask tokens', 0, 384, 0, 2 * 384),
        ('decoder, video and audio', 4, 384, 6, 4 * light + 2 * 384),
        ('video prediction', 0, 1536, 0, 385 * 1536),
        ('audio prediction', 0, 256, 0, 385 * 256),
    ]
    assert summary['parameters'] == 165_695_488
    assert summary['inputs'] == {'video': [16, 224, 224, 3], 'audio': [800, 128, 1]}
    assert summary['tokens'] == {
        'video': {'all': 1568, 'visible': 157},
        'audio': {'all': 400, 'visible': 200},
    }
    flops = summary['flops']
    assert flops['forward'] == sum(flops['parts'].values())
    assert flops['training_step'] == 3 * flops['forward']


def test_the_classifier_of_the_paper():
    summary = summarise(FINETUNE_RECIPES['vggsound-base'], {'label': 309})
    stream = 12 * (12 * 768**2 + 13 * 768)
    assert rows(summary)[2:] == [
        ('encoder, video', 12, 768, 12, stream),
        ('encoder, audio', 12, 768, 12, stream),
        ('encoder, video and audio (norm)', 0, 768, 0, 2 * 768),
        ('encoder, bottleneck tokens', 0, 768, 0, 4 * 768),
        ('head', 0, 309, 0, 769 * 309),
    ]
    assert summary['tokens'] == {'video': {'all': 3136}, 'audio': {'all': 400}}
    assert summary['classes'] == {'label': 309} and summary['views'] == 4


ENCODER = {  # titles and blocks of its parts, three blocks deep
    'early': [('video and audio', 3)],
    'shared': [('video and audio', 3)],
    'separate': [('video', 3), ('audio', 3)],
    'mid': [('video', 1), ('audio', 1), ('video and audio', 2)],
}


@pytest.mark.parametrize('encoder', ENCODER)
def test_parts_follow_the_ways_of_the_modalities(pretrain_config, finetune_config, encoder):
    def blocks_of(summary):
        return [
            (part['part'].removeprefix('encoder, '), part['blocks'])
            for part in summary['parts']
            if part['part'].startswith('encoder, ')
        ]

    settings = pretrain_config.replace(encoder=encoder, modality_tokens=True, positions='learned')
    summary, variables = summarise(settings), build_avmae(settings).trainable_variables
    assert blocks_of(summary) == ENCODER[encoder]
    assert summary['parameters'] == sum(math.prod(v.shape) for v in variables)

    settings = finetune_config.replace(fusion=encoder, norm_after_pooling=True)
    heads = {'noun': 5, 'verb': 4}
    summary, model = summarise(settings, heads), build_classifier(settings, heads)
    assert blocks_of(summary) == ENCODER[encoder]
    assert summary['parameters'] == sum(math.prod(v.shape) for v in model.trainable_variables)
