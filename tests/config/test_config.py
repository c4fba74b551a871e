"""Illegal settings raise with subject, rule, value and source; legal ones round-trip."""

import pytest

from avmae_tf import config
from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    AudioSpec,
    BackboneSpec,
    DecoderSpec,
    FinetuneConfig,
    PretrainConfig,
    ScheduleSpec,
    VideoSpec,
    resolve_recipe,
)

SCHEDULE = {'learning_rate': 0.1, 'reference_batch_size': 64, 'batch_size': 64, 'epochs': 1}


def pretrain(**changes):
    decoder = DecoderSpec.for_backbone('base', fusion=changes.pop('decoder', 'shared'))
    return PretrainConfig(
        **{'backbone': 'base', 'decoder': decoder, 'schedule': SCHEDULE, **changes}
    )


def finetune(**changes):
    return FinetuneConfig(backbone='base', schedule=SCHEDULE, **changes)


def test_augmentations_of_the_releases():
    vggsound = finetune(augment='vggsound').augment
    assert vggsound.random_crop and vggsound.random_flip and vggsound.time_shift
    assert vggsound.scale_jitter == (0.9, 1.33)
    assert (vggsound.colour.probability, vggsound.colour.drop_probability) == (0.8, 0.1)
    assert (vggsound.mixup.alpha, vggsound.mixup.per_modality) == (0.5, True)
    masks = ('frequency_masks', 'frequency_width', 'time_masks', 'time_width')
    assert [getattr(vggsound.spec_augment, m) for m in masks] == [1, 48, 4, 48]
    audioset = finetune(augment='audioset').augment
    assert [getattr(audioset.spec_augment, m) for m in masks] == [2, 36, 4, 48]
    assert audioset.replace(spec_augment=None) == vggsound.replace(spec_augment=None)


def test_sizes_of_the_paper():
    assert VideoSpec().num_tokens == 1568 and VideoSpec().patch_values == 1536
    assert AudioSpec().num_tokens == 400 and AudioSpec().patch_values == 256
    assert AudioSpec(seconds=10).input_shape == (992, 128, 1)
    assert AudioSpec(seconds=10).num_tokens == 496
    base = pretrain()
    assert base.masking.num_masked('video', VideoSpec()) == 1411
    assert base.masking.num_masked('audio', AudioSpec()) == 200


@pytest.mark.parametrize('recipes', [PRETRAIN_RECIPES, FINETUNE_RECIPES])
def test_recipes_round_trip_through_json(recipes):
    for recipe in recipes.values():
        assert type(recipe).from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: VideoSpec(num_frames=15), 'num_frames must be a multiple of the tubelet'),
        (lambda: VideoSpec(size_px=230), 'size_px must be a multiple'),
        (lambda: VideoSpec(resize_px=200), 'resize_px must be at least size_px, got resize_px=200'),
        (lambda: AudioSpec(seconds=0.1), 'at least one patch'),
        (lambda: pretrain(augment='much'), "augment must be one of .*'vggsound'.*, got 'much'"),
        (lambda: pretrain(augment='vggsound'), 'mixup mixes labels, and pretraining has none'),
        (lambda: pretrain(augment={'scale_jitter': (1.3, 0.9)}), 'scale_jitter must go up'),
        (lambda: finetune(modalities=('audio',), num_crops=3), 'num_crops counts crops of the vid'),
        (lambda: finetune(norm_after_pooling=True), 'norm_after_pooling needs a fusion of one'),
        (lambda: BackboneSpec.model_validate('colossal'), "got 'colossal'"),
        (lambda: BackboneSpec(width=10, num_layers=1, num_heads=3, mlp_width=8), 'num_heads'),
        (
            lambda: pretrain(encoder={'kind': 'mid', 'fused_layers': 12}),
            r'1 <= fused_layers < num_layers, got fused_layers=12, num_layers=12 \(paper, Sec. 3.2',
        ),
        (lambda: pretrain(encoder='separate', decoder='separate'), r'paper, Sec. 3.3'),
        (lambda: pretrain(masking={'video_ratio': 0.0}), 'must hide at least one'),
        (lambda: pretrain(encoder='bottleneck'), 'bottleneck'),
        (lambda: pretrain(colour=1), 'colour'),
        (lambda: pretrain(modalities=()), 'one or both'),
        (lambda: finetune(average_decay=1.0), 'average_decay'),
        (lambda: ScheduleSpec(**SCHEDULE, warmup_epochs=1), 'warmup_epochs must be below epochs'),
        (lambda: resolve_recipe('nothing', PRETRAIN_RECIPES), "got 'nothing'"),
    ],
)
def test_illegal_settings_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_learning_rate_scales_with_the_batch():
    schedule = ScheduleSpec(**{**SCHEDULE, 'batch_size': 128})
    assert schedule.peak_learning_rate == pytest.approx(0.2)
    assert schedule.steps(1, 1000) == 7


def test_modalities_come_in_the_order_of_concatenation():
    assert pretrain(modalities=('audio', 'video')).modalities == ('video', 'audio')


def test_changes_of_a_recipe_are_merged_group_by_group():
    settings = resolve_recipe({'recipe': 'demo', 'schedule': {'epochs': 3}}, PRETRAIN_RECIPES)
    changed = PretrainConfig.model_validate(settings)
    before = PRETRAIN_RECIPES['demo']
    assert changed.schedule == before.schedule.replace(epochs=3)
    assert changed.backbone == before.backbone
    other = resolve_recipe({'recipe': 'demo', 'encoder': 'early'}, PRETRAIN_RECIPES)
    assert PretrainConfig.model_validate(other).encoder == config.Early()
