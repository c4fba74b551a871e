"""Named settings: the demo, the tables of the paper (20 to 24), and the authors' releases.

Pretraining: '<dataset>-<size>' is Table 20, 'release-<dataset>-<size>' what the released code does.
Finetuning: '<dataset>-<size>' is Table 22, 23 or 24, '-audio' and '-video' its columns A and V;
behind 'release-', as released.
"""

from collections.abc import Mapping
from typing import Any

from avmae_tf.config.augment import AUGMENTATIONS, AugmentSpec
from avmae_tf.config.base import AUDIO, MODALITIES, VIDEO, Modality, Spec
from avmae_tf.config.data import AudioSpec, VideoSpec
from avmae_tf.config.model import (
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    MaskingSpec,
    Mid,
    Separate,
)
from avmae_tf.config.training import Adam, FinetuneConfig, PretrainConfig, ScheduleSpec

SIZES = ('base', 'large')


def _schedule(rate: float, batch_size: int, epochs: float, warmup_epochs: float) -> ScheduleSpec:
    return ScheduleSpec(
        learning_rate=rate,
        reference_batch_size=batch_size,
        batch_size=batch_size,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
    )


# Kept for runs that began with it: `mini` is what is chosen where no recipe is named.
_DEMO_INPUTS: dict[str, Any] = {  # two seconds of small pictures: minutes on two CPU cores
    'video': VideoSpec(num_frames=16, frames_per_second=8.0, size_px=64),
    'audio': AudioSpec(seconds=2.0),
    'backbone': BackboneSpec(width=96, num_layers=4, num_heads=3, mlp_width=384),
}
_DEMO_PRETRAINING = PretrainConfig(
    **_DEMO_INPUTS,
    decoder=DecoderSpec(width=64, num_layers=2, num_heads=2, mlp_width=256),
    encoder=Mid(fused_layers=1),
    schedule=_schedule(1e-3, 16, epochs=8, warmup_epochs=1),
)
_DEMO_FINETUNING = FinetuneConfig(
    **_DEMO_INPUTS,
    fusion=Bottleneck(fusion_layer=2),
    optimizer=Adam(beta_2=0.999),
    layerwise_decay=1.0,
    label_smoothing=0.1,
    stochastic_depth=0.0,
    num_views=1,
    schedule=_schedule(1e-3, 16, epochs=10, warmup_epochs=1),
)

_SECONDS = {'audioset': 10.0, 'ave': 10.0}  # of sound; 8 elsewhere
# For few labels, in `avmae demo` and in miniatures of the paper's tables: one second of small
# pictures in fine patches, and a finetuning as in the paper. Adam at 1e-3, which suits the blocks,
# hardly moves the head in so few steps, and pretraining then hurts.
_MINI_INPUTS: dict[str, Any] = {
    'video': VideoSpec(num_frames=4, frames_per_second=4.0, size_px=48, patch=(2, 8, 8)),
    'audio': AudioSpec(seconds=1.0),
    'backbone': BackboneSpec(width=64, num_layers=4, num_heads=2, mlp_width=256),
}
_MINI_PRETRAINING = PretrainConfig(
    **_MINI_INPUTS,
    decoder=DecoderSpec(width=64, num_layers=1, num_heads=2, mlp_width=256),
    encoder=Mid(fused_layers=1),
    masking=MaskingSpec(video_ratio=0.75, audio_ratio=0.5),
    video_weight=2.5,  # a sixth of the sound's error, so that it would teach little
    schedule=_schedule(2e-3, 32, epochs=40, warmup_epochs=1),
)
_MINI_FINETUNING = FinetuneConfig(
    **_MINI_INPUTS,
    fusion=Bottleneck(fusion_layer=2),
    label_smoothing=0.1,
    stochastic_depth=0.0,
    num_views=1,
    schedule=_schedule(0.1, 16, epochs=40, warmup_epochs=4),
)

_EPOCHS = {'vggsound': 800, 'audioset': 120}  # of pretraining (Tables 7 and 16)
_RELEASED_CROP = AugmentSpec(random_crop=True, random_flip=True)


def _pretraining(dataset: str, size: str, **changes: Any) -> PretrainConfig:
    """Table 20 with the decoder of Table 21."""
    return PretrainConfig(
        backbone=size,
        decoder=DecoderSpec.for_backbone(size),
        audio=AudioSpec(seconds=_SECONDS.get(dataset, 8.0)),
        **{'schedule': _schedule(3e-4, 512, _EPOCHS[dataset], warmup_epochs=40), **changes},
    )


def _released(dataset: str, size: str) -> PretrainConfig:
    """What differs in the released configurations."""
    settings: dict[str, tuple[float, dict[str, Any]]] = {
        'vggsound': (3e-4, {'encoder': Separate()}),
        'audioset': (6e-4, {'masking': MaskingSpec(audio_ratio=0.7)}),
    }
    rate, changes = settings[dataset]
    return _pretraining(
        dataset,
        size,
        schedule=_schedule(rate, 512, _EPOCHS[dataset], warmup_epochs=4),
        weight_decay=0.05,
        augment=_RELEASED_CROP,
        **changes,
    )


_FINETUNING: dict[
    str, tuple[float, int, float, bool, dict[str, Any]]
] = {  # learning rate, batch size, mixup of audio alone, time shift, other settings
    'vggsound': (0.8, 64, 0.5, False, {}),
    'epic-kitchens': (1.2, 64, 1.25, True, {}),
    'audioset': (1.6, 128, 1.25, True, {'loss': 'sigmoid'}),
    # Appendix A.1 names no settings: those of VGGSound on all ten seconds
    'ave': (0.8, 64, 0.5, False, {'segments': 10}),
}
_FUSION_LAYER = {'base': 8, 'large': 16}


def _finetuning(dataset: str, size: str, modalities: tuple[Modality, ...]) -> FinetuneConfig:
    """Tables 22, 23 and 24; what they leave open is as released."""
    rate, batch_size, audio_mixup, time_shift, changes = _FINETUNING[dataset]
    layer = 18 if (dataset, size) == ('audioset', 'large') else _FUSION_LAYER[size]
    video = VideoSpec(num_frames=32)
    if dataset == 'ave':
        video = VideoSpec(num_frames=32, frames_per_second=3.2)
    mixup = {'alpha': audio_mixup if modalities == (AUDIO,) else 0.5, 'per_modality': True}
    augment = AUGMENTATIONS.get(dataset, AUGMENTATIONS['vggsound'])
    return FinetuneConfig(
        modalities=modalities,
        backbone=size,
        video=video,
        audio=AudioSpec(seconds=_SECONDS.get(dataset, 8.0)),
        fusion=Bottleneck(fusion_layer=layer),
        schedule=_schedule(rate, batch_size, epochs=50, warmup_epochs=2.5),
        augment=AugmentSpec(**{**augment, 'time_shift': time_shift, 'mixup': mixup}),
        **changes,
    )


def _released_finetuning(
    dataset: str, size: str, modalities: tuple[Modality, ...]
) -> FinetuneConfig:
    """What differs in the released configurations; checkpoints of theirs are served with these."""
    recipe = _finetuning(dataset, size, modalities)
    audio = recipe.audio
    if dataset == 'audioset':
        audio = audio.replace(mean=1.102, deviation=2.762)
    mixup = {'alpha': 0.5, 'per_modality': True}
    augment = recipe.augment.replace(time_shift=True, mixup=mixup)
    return recipe.replace(audio=audio, augment=augment)


PRETRAIN_RECIPES = {'demo': _DEMO_PRETRAINING, 'mini': _MINI_PRETRAINING}
for _size in SIZES:
    for _dataset in _EPOCHS:
        PRETRAIN_RECIPES[f'{_dataset}-{_size}'] = _pretraining(_dataset, _size)
        PRETRAIN_RECIPES[f'release-{_dataset}-{_size}'] = _released(_dataset, _size)

FINETUNE_RECIPES = {'demo': _DEMO_FINETUNING, 'mini': _MINI_FINETUNING}
_COLUMNS: dict[str, tuple[Modality, ...]] = {'': MODALITIES, '-audio': (AUDIO,), '-video': (VIDEO,)}
for _size in SIZES:
    for _dataset in _FINETUNING:
        for _suffix, _modalities in _COLUMNS.items():
            _name = f'{_dataset}-{_size}{_suffix}'
            FINETUNE_RECIPES[_name] = _finetuning(_dataset, _size, _modalities)
            if _dataset in _EPOCHS:
                _released_recipe = _released_finetuning(_dataset, _size, _modalities)
                FINETUNE_RECIPES[f'release-{_name}'] = _released_recipe


def resolve_recipe(value: Any, recipes: Mapping[str, Spec]) -> Any:
    """Settings of a recipe by its name, or of {'recipe': name, field: value} with changes.

    Raises:
        ValueError: there is no such recipe.
    """
    if isinstance(value, str):
        value = {'recipe': value}
    if not isinstance(value, dict) or 'recipe' not in value:
        return value
    changes = dict(value)
    name = changes.pop('recipe')
    if not isinstance(name, str) or name not in recipes:
        raise ValueError(f'recipe must be one of {sorted(recipes)}, got {name!r}')
    return merge(recipes[name].model_dump(), changes)


def merge(settings: dict, changes: dict) -> dict:
    """`settings` with `changes`, group by group; a group of another kind is replaced whole."""
    result = dict(settings)
    for name, value in changes.items():
        before = result.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            kind = before.get('kind')
            value = merge(before, value) if value.get('kind', kind) == kind else value
        result[name] = value
    return result
