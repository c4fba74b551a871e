"""The recipes are the paper's Tables 20 to 24, written out once more."""

import pytest

from avmae_tf.config import FINETUNE_RECIPES, PRETRAIN_RECIPES, Mid, Separate, Shared

TABLE_20 = {  # and its counterparts in the released code
    'vggsound-base': ('mid', 3e-4, 40, 0.0, False, 0.5),
    'audioset-large': ('mid', 3e-4, 40, 0.0, False, 0.5),
    'release-vggsound-large': ('separate', 3e-4, 4, 0.05, True, 0.5),
    'release-audioset-base': ('mid', 6e-4, 4, 0.05, True, 0.7),
}


@pytest.mark.parametrize('name', TABLE_20)
def test_pretraining_follows_table_20(name):
    encoder, rate, warm_up, decay, cropped, audio_ratio = TABLE_20[name]
    recipe = PRETRAIN_RECIPES[name]
    assert recipe.encoder == {'mid': Mid(fused_layers=2), 'separate': Separate()}[encoder]
    assert recipe.decoder.fusion == Shared()
    optimizer, schedule = recipe.optimizer, recipe.schedule
    assert (optimizer.kind, optimizer.beta_1, optimizer.beta_2) == ('adam', 0.9, 0.95)
    assert schedule.peak_learning_rate == pytest.approx(rate) and schedule.batch_size == 512
    assert schedule.warmup_epochs == warm_up and recipe.weight_decay == decay
    assert (recipe.augment.random_crop, recipe.augment.random_flip) == (cropped, cropped)
    assert (recipe.masking.video_ratio, recipe.masking.audio_ratio) == (0.9, audio_ratio)
    assert recipe.video.input_shape == (16, 224, 224, 3) and recipe.video.num_tokens == 1568
    assert recipe.audio.seconds == (10 if 'audioset' in name else 8)


@pytest.mark.parametrize(
    ('size', 'decoder'), [('base', (384, 4, 6, 1536)), ('large', (512, 4, 8, 2048))]
)
def test_decoders_follow_table_21(size, decoder):
    spec = PRETRAIN_RECIPES[f'vggsound-{size}'].decoder
    assert (spec.width, spec.num_layers, spec.num_heads, spec.mlp_width) == decoder


TABLES_22_TO_24 = {  # rate, batch, seconds of sound, time shift, mixup of A and V and AV
    'vggsound': (0.8, 64, 8, False, (0.5, 0.5, 0.5)),
    'epic-kitchens': (1.2, 64, 8, True, (1.25, 0.5, 0.5)),
    'audioset': (1.6, 128, 10, True, (1.25, 0.5, 0.5)),
}


@pytest.mark.parametrize('size', ['base', 'large'])
@pytest.mark.parametrize('dataset', TABLES_22_TO_24)
def test_finetuning_follows_tables_22_to_24(dataset, size):
    rate, batch_size, seconds, time_shift, mixups = TABLES_22_TO_24[dataset]
    for suffix, alpha in zip(('-audio', '-video', ''), mixups, strict=True):
        recipe = FINETUNE_RECIPES[f'{dataset}-{size}{suffix}']
        assert recipe.modalities == {
            '-audio': ('audio',), '-video': ('video',), '': ('video', 'audio')
        }[suffix]  # fmt: skip
        assert (recipe.optimizer.kind, recipe.optimizer.momentum) == ('sgd', 0.9)
        schedule = recipe.schedule
        assert (schedule.epochs, schedule.warmup_epochs) == (50, 2.5)
        assert schedule.peak_learning_rate == pytest.approx(rate)
        assert schedule.batch_size == batch_size
        assert (recipe.layerwise_decay, recipe.clip_norm) == (0.75, 1.0)
        assert (recipe.stochastic_depth, recipe.label_smoothing) == (0.3, 0.3)
        assert recipe.video.num_frames == 32 and recipe.audio.seconds == seconds
        assert recipe.augment.mixup.alpha == alpha and recipe.augment.spec_augment
        assert recipe.augment.time_shift == time_shift and recipe.num_views == 4


def test_what_the_data_sets_ask_for():
    assert FINETUNE_RECIPES['audioset-base'].loss == 'sigmoid'
    assert FINETUNE_RECIPES['vggsound-base'].loss == 'softmax'
    layers = {n: FINETUNE_RECIPES[n].fusion.fusion_layer for n in FINETUNE_RECIPES}
    assert (layers['vggsound-base'], layers['vggsound-large']) == (8, 16)
    assert layers['audioset-large'] == 18
    ave = FINETUNE_RECIPES['ave-base']
    assert ave.segments == 10 and ave.video.num_frames / ave.video.frames_per_second == 10


def test_a_released_classifier_of_audioset_hears_normalised_spectrograms():
    paper, release = (FINETUNE_RECIPES[f'{x}audioset-large'] for x in ('', 'release-'))
    assert (paper.audio.mean, paper.audio.deviation) == (0.0, 1.0)
    assert (release.audio.mean, release.audio.deviation) == (1.102, 2.762)
    assert release.replace(audio=paper.audio) == paper
    vggsound = FINETUNE_RECIPES['release-vggsound-base-audio']
    assert vggsound.augment.time_shift and vggsound.audio.mean == 0.0
