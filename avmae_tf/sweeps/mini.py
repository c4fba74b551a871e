"""The mini scale: generated clips of which few are labelled, and recipes for two CPU cores."""

import os
from collections.abc import Callable
from typing import Any

from avmae_tf.config import (
    Adam,
    AudioSpec,
    AugmentSpec,
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    FinetuneConfig,
    Mid,
    PretrainConfig,
    ScheduleSpec,
    VideoSpec,
)

NUM_CLIPS, NUM_LABELLED, NUM_EVAL = 2048, 128, 512
EPOCHS = 0.1  # of pretraining, for one of the paper's
FLOPS_PER_SECOND, START_SECONDS = 3e10, 15.0  # of two cores
SEED = 11  # of the clips

_INPUTS: dict[str, Any] = {
    'video': VideoSpec(num_frames=8, frames_per_second=4.0, size_px=48, patch=(2, 8, 8)),
    'audio': AudioSpec(seconds=2.0),
}
_BACKBONES = {
    'base': BackboneSpec(width=96, num_layers=5, num_heads=3, mlp_width=384),
    'large': BackboneSpec(width=144, num_layers=8, num_heads=3, mlp_width=576),
}
_COLUMNS: dict[str, list] = {'': ['video', 'audio'], '-audio': ['audio'], '-video': ['video']}


def _pretraining(size: str) -> PretrainConfig:
    return PretrainConfig(
        **_INPUTS,
        backbone=_BACKBONES[size],
        decoder=DecoderSpec(width=64, num_layers=2, num_heads=2, mlp_width=256),
        encoder=Mid(),
        schedule=ScheduleSpec(
            learning_rate=1e-3, reference_batch_size=32, batch_size=32, epochs=40, warmup_epochs=2
        ),
    )


def _finetuning(size: str, modalities: list) -> FinetuneConfig:
    return FinetuneConfig(
        **_INPUTS,
        modalities=modalities,
        backbone=_BACKBONES[size],
        fusion=Bottleneck(fusion_layer=2 * _BACKBONES[size].num_layers // 3),
        optimizer=Adam(beta_2=0.999),
        layerwise_decay=1.0,
        label_smoothing=0.1,
        stochastic_depth=0.1,
        num_views=1,
        augment=AugmentSpec(mixup={'alpha': 0.5, 'per_modality': True}),
        schedule=ScheduleSpec(
            learning_rate=1e-3, reference_batch_size=32, batch_size=32, epochs=60, warmup_epochs=4
        ),
    )


PRETRAINING = {f'vggsound-{size}': _pretraining(size) for size in _BACKBONES}
FINETUNING = {
    f'vggsound-{size}{suffix}': _finetuning(size, modalities)
    for size in _BACKBONES
    for suffix, modalities in _COLUMNS.items()
}


def make_inputs(root: str, say: Callable[[str], None]) -> dict[str, str]:
    """Folders of records by name, made below `root` unless they are there."""
    from avmae_tf.sweeps.records import write_records

    numbers = {'vggsound': NUM_CLIPS, 'vggsound-half': NUM_CLIPS // 2}
    settings = {'num_labelled': NUM_LABELLED, 'num_eval': NUM_EVAL, 'seed': SEED, 'say': say}
    return {
        name: write_records(os.path.join(root, name), num_train=number, **settings)
        for name, number in numbers.items()
    }
