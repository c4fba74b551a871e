"""The mini scale: generated clips of which few are labelled, and recipes for two CPU cores."""

import os
from collections.abc import Callable, Iterable

from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    BackboneSpec,
    Bottleneck,
    FinetuneConfig,
    MediaSpec,
    Modality,
    PretrainConfig,
)
from avmae_tf.storage import exists

NUM_CLIPS, NUM_LABELLED, NUM_EVAL = 2048, 64, 512
EPOCHS = 0.05  # of pretraining, for one of the paper's: half of what `avmae demo` takes
FLOPS_PER_SECOND, START_SECONDS = 2e10, 25.0  # of one core, as measured
SEED = 11  # of the clips
MEDIA = MediaSpec(frames_per_second=4.0, shorter_side_px=48)  # of `emblems`

_LARGE = BackboneSpec(width=96, num_layers=6, num_heads=3, mlp_width=384)
_COLUMNS: dict[str, tuple[Modality, ...]] = {
    '': ('video', 'audio'),
    '-audio': ('audio',),
    '-video': ('video',),
}


def _pretraining() -> dict[str, PretrainConfig]:
    base = PRETRAIN_RECIPES['mini']
    return {'vggsound-base': base, 'vggsound-large': base.replace(backbone=_LARGE)}


def _finetuning() -> dict[str, FinetuneConfig]:
    base = FINETUNE_RECIPES['mini']
    large = base.replace(backbone=_LARGE, fusion=Bottleneck(fusion_layer=4))
    return {
        f'vggsound-{size}{suffix}': recipe.replace(modalities=modalities)
        for size, recipe in {'base': base, 'large': large}.items()
        for suffix, modalities in _COLUMNS.items()
    }


PRETRAINING, FINETUNING = _pretraining(), _finetuning()


def make_inputs(root: str, names: Iterable[str], say: Callable[[str], None]) -> dict[str, str]:
    """Folders of records by those of `names` that this scale has, made below `root` if need be."""
    numbers = {'vggsound': NUM_CLIPS, 'vggsound-half': NUM_CLIPS // 2}
    return {
        name: make_records(os.path.join(root, name), numbers[name], say)
        for name in numbers
        if name in names
    }


def make_records(folder: str, num_train: int, say: Callable[[str], None]) -> str:
    """Records of generated clips in `folder`, unless they are there; returns it.

    The first `NUM_LABELLED` clips to train on have their label, as many of each class, and all that
    are held out.
    """
    from avmae_tf import api
    from avmae_tf.data.dataset import DATASET_FILE
    from avmae_tf.data.emblems import EmblemStyle
    from avmae_tf.data.synthetic import write_clips

    if exists(os.path.join(folder, DATASET_FILE)):
        return folder
    say(f'making {num_train} clips to train on, {NUM_LABELLED} of them with a label')
    clips = f'{folder}-clips'
    annotations = write_clips(
        clips,
        num_train=num_train,
        num_eval=NUM_EVAL,
        num_labelled=NUM_LABELLED,
        seed=SEED,
        style=EmblemStyle(),
    )
    api.convert(clips, folder, annotations=annotations, media=MEDIA)
    return folder
