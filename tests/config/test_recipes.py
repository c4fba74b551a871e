"""The recipes are the paper's Tables 20 to 24, written out once more, row by row."""

import pytest

from avmae_tf.config import (
    AUDIO,
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    VIDEO,
    AugmentSpec,
    Mid,
    Separate,
    Shared,
)
from avmae_tf.training.optimizers import make_schedule

SIZES = ('base', 'large')
COLUMNS = {'A': '-audio', 'V': '-video', 'AV': ''}  # of Tables 22 to 24: ends of recipes' names


def decay_of(schedule) -> str:
    """What the rate does after the warm-up: at its start, middle, last third and end."""
    rate = make_schedule(schedule, num_examples=1000 * schedule.batch_size)
    warm, total = 1000 * schedule.warmup_epochs, 1000 * schedule.epochs
    shares = [
        float(rate(int(warm + part * (total - warm)))) / schedule.peak_learning_rate
        for part in (0, 1 / 2, 2 / 3, 1)
    ]
    return 'cosine decay' if shares == pytest.approx([1, 0.5, 0.25, 0], abs=1e-4) else 'other'


COMMON_ROWS = {  # of all tables: what a recipe says there
    'Learning rate schedule': lambda recipe: decay_of(recipe.schedule),
    'Base learning rate': lambda recipe: recipe.schedule.peak_learning_rate,
    'Warm-up epochs': lambda recipe: recipe.schedule.warmup_epochs,
    'Batch size': lambda recipe: recipe.schedule.batch_size,
}
ROWS_20 = COMMON_ROWS | {
    'Optimizer': lambda recipe: {'adam': 'Adam'}[recipe.optimizer.kind],
    'Optimizer momentum': lambda recipe: (recipe.optimizer.beta_1, recipe.optimizer.beta_2),
    'Weight decay': lambda recipe: recipe.weight_decay,
    'Augmentation': lambda recipe: None if recipe.augment == AugmentSpec() else 'some',
}
TABLE_20 = {
    'Optimizer': 'Adam',
    'Optimizer momentum': (0.9, 0.95),
    'Weight decay': 0,
    'Base learning rate': 3e-4,
    'Learning rate schedule': 'cosine decay',
    'Warm-up epochs': 40,
    'Augmentation': None,
    'Batch size': 512,
}
EPOCHS = {'vggsound': 800, 'audioset': 120}  # Tables 7 and 16


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('dataset', EPOCHS)
def test_pretraining_is_table_20_to_the_letter(dataset, size):
    recipe = PRETRAIN_RECIPES[f'{dataset}-{size}']
    assert {row: read(recipe) for row, read in ROWS_20.items()} == TABLE_20
    assert recipe.schedule.epochs == EPOCHS[dataset]
    # What that table leaves out, and what would change it.
    assert (recipe.clip_norm, recipe.average_decay, recipe.precision) == (None, None, 'float32')
    assert recipe.encoder == Mid(fused_layers=2) and recipe.decoder.fusion == Shared()
    assert (recipe.masking.video_ratio, recipe.masking.audio_ratio) == (0.9, 0.5)
    assert recipe.video.input_shape == (16, 224, 224, 3) and recipe.video.num_tokens == 1568
    assert recipe.audio.seconds == (10 if dataset == 'audioset' else 8)


RELEASED = {  # encoder, rate, share of the sound that is masked
    'vggsound': (Separate(), 3e-4, 0.5),
    'audioset': (Mid(fused_layers=2), 6e-4, 0.7),
}


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('dataset', RELEASED)
def test_the_released_pretraining_differs_where_its_code_does(dataset, size):
    encoder, rate, audio_ratio = RELEASED[dataset]
    recipe = PRETRAIN_RECIPES[f'release-{dataset}-{size}']
    changed = {'Weight decay': 0.05, 'Base learning rate': rate, 'Warm-up epochs': 4}
    changed['Augmentation'] = 'some'
    assert {row: read(recipe) for row, read in ROWS_20.items()} == TABLE_20 | changed
    assert (recipe.augment.random_crop, recipe.augment.random_flip) == (True, True)
    assert recipe.encoder == encoder and recipe.masking.audio_ratio == audio_ratio


@pytest.mark.parametrize(
    ('size', 'decoder'), [('base', (384, 4, 6, 1536)), ('large', (512, 4, 8, 2048))]
)
def test_decoders_follow_table_21(size, decoder):
    spec = PRETRAIN_RECIPES[f'vggsound-{size}'].decoder
    assert (spec.width, spec.num_layers, spec.num_heads, spec.mlp_width) == decoder


ROWS_22_TO_24 = COMMON_ROWS | {
    'Number of video frames': lambda r: r.video.num_frames if VIDEO in r.modalities else None,
    'Spectrogram audio length (seconds)': (
        lambda r: r.audio.seconds if AUDIO in r.modalities else None
    ),
    'Optimizer': lambda r: {'sgd': 'SGD'}[r.optimizer.kind],
    'Optimizer momentum': lambda r: r.optimizer.momentum,
    'Layerwise decay': lambda r: r.layerwise_decay,
    'Gradient clipping': lambda r: r.clip_norm,
    'Epochs': lambda r: r.schedule.epochs,
    'Random time shifting': lambda r: AUDIO in r.modalities and r.augment.time_shift,
    'SpecAugment': lambda r: AUDIO in r.modalities and bool(r.augment.spec_augment),
    'Mixup alpha': lambda r: r.augment.mixup.alpha,
    'Stochastic depth': lambda r: r.stochastic_depth,
    'Label smoothing': lambda r: r.label_smoothing,
}


def finetuning_table(
    *, seconds: int, rate: float, batch: int, shifting: tuple, mixup: tuple
) -> dict[str, tuple]:
    """Rows of Tables 22 to 24, columns A, V and AV; most rows are alike in all of them."""
    return {
        'Number of video frames': (None, 32, 32),
        'Spectrogram audio length (seconds)': (seconds, None, seconds),
        'Optimizer': ('SGD',) * 3,
        'Optimizer momentum': (0.9,) * 3,
        'Layerwise decay': (0.75,) * 3,
        'Base learning rate': (rate,) * 3,
        'Learning rate schedule': ('cosine decay',) * 3,
        'Gradient clipping': (1.0,) * 3,
        'Warm-up epochs': (2.5,) * 3,
        'Epochs': (50,) * 3,
        'Batch size': (batch,) * 3,
        'Random time shifting': shifting,
        'SpecAugment': (True, False, True),
        'Mixup alpha': mixup,
        'Stochastic depth': (0.3,) * 3,
        'Label smoothing': (0.3,) * 3,
    }


TABLES_22_TO_24 = {
    'vggsound': finetuning_table(  # the row of random time shifting is missing
        seconds=8, rate=0.8, batch=64, shifting=(False,) * 3, mixup=(0.5, 0.5, 0.5)
    ),
    'epic-kitchens': finetuning_table(
        seconds=8, rate=1.2, batch=64, shifting=(True, False, True), mixup=(1.25, 0.5, 0.5)
    ),
    'audioset': finetuning_table(
        seconds=10, rate=1.6, batch=128, shifting=(True, False, True), mixup=(1.25, 0.5, 0.5)
    ),
}


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('dataset', TABLES_22_TO_24)
def test_finetuning_is_tables_22_to_24_to_the_letter(dataset, size):
    recipes = [FINETUNE_RECIPES[f'{dataset}-{size}{suffix}'] for suffix in COLUMNS.values()]
    assert [r.modalities for r in recipes] == [('audio',), ('video',), ('video', 'audio')]
    said = {row: tuple(map(read, recipes)) for row, read in ROWS_22_TO_24.items()}
    assert said == TABLES_22_TO_24[dataset]
    for recipe in recipes:  # what the tables leave out
        assert (recipe.num_views, recipe.num_crops) == (4, 1)
        assert (recipe.weight_decay, recipe.average_decay) == (0, None)


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
