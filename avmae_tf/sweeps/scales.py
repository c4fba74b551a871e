"""The scales of a sweep: the paper's recipes, and models that two CPU cores train in minutes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    FinetuneConfig,
    PretrainConfig,
    TrainingConfig,
    merge,
)
from avmae_tf.sweeps import mini
from avmae_tf.sweeps.cells import Finetuning, Pretraining

_SUFFIX = {'A': '-audio', 'V': '-video', 'AV': ''}  # of a recipe of finetuning
_WHOLE = {'vggsound-half': 'vggsound', 'as500k': 'audioset'}  # data set that another is a part of


@dataclasses.dataclass(frozen=True)
class Scale:
    """Recipes, named by data set and size, and what is known of the data and the machine.

    A data set that `clips` does not have does not exist at this scale.
    """

    pretraining: Mapping[str, PretrainConfig]
    finetuning: Mapping[str, FinetuneConfig]
    clips: Mapping[str, int]  # that are trained on
    labelled: Mapping[str, int]  # those of them that finetuning trains on, where it is not all
    models: tuple[str, ...]  # of others, that a classifier may start from
    epochs: float  # of pretraining, for one of the paper's
    flops_per_second: float  # those of `models.cost`, of an accelerator or of a core
    start_seconds: float  # of a process before its first step
    num_seeds: int  # where none are asked for
    threads: int | None  # of a run, and runs side by side fill the machine; else all, one by one

    def settings(self, run: Pretraining | Finetuning, seed: int) -> TrainingConfig:
        """The settings of a run.

        Raises:
            ValueError: there is no such data set at this scale, or the settings are illegal.
        """
        if run.data not in self.clips:
            raise ValueError(f'there is no {run.data} at this scale')
        recipe = f'{_WHOLE.get(run.data, run.data)}-{run.size}'
        if isinstance(run, Finetuning):
            before = self.finetuning[recipe + _SUFFIX[run.column]]
            return _changed(before, {'seed': seed, **run.changes})
        schedule = self.pretraining[recipe].schedule
        changed = {
            'epochs': run.epochs * self.epochs,
            'learning_rate': schedule.learning_rate * run.rate,
        }
        changes = {'seed': seed, 'schedule': changed, **run.changes}
        return _changed(self.pretraining[recipe], changes)


def _changed(recipe: TrainingConfig, changes: Mapping[str, Any]) -> TrainingConfig:
    return type(recipe).model_validate(merge(recipe.model_dump(), dict(changes)))


SCALES = {
    'paper': Scale(
        pretraining=PRETRAIN_RECIPES,
        finetuning=FINETUNE_RECIPES,
        clips={
            'vggsound': 170_000, 'vggsound-half': 85_000, 'audioset': 1_800_000,
            'as500k': 500_000, 'epic-kitchens': 67_000, 'ave': 3_339,
        },
        labelled={},
        models=('image-vit-base', 'image-vit-large'),
        epochs=1.0,
        flops_per_second=0.3 * 61.5e12,  # a core of TPU v3 at a share of its peak
        start_seconds=600.0,
        num_seeds=1,
        threads=None,
    ),
    'mini': Scale(
        pretraining=mini.PRETRAINING,
        finetuning=mini.FINETUNING,
        clips={'vggsound': mini.NUM_CLIPS, 'vggsound-half': mini.NUM_CLIPS // 2},
        labelled={'vggsound': mini.NUM_LABELLED},
        models=(),
        epochs=mini.EPOCHS,
        flops_per_second=mini.FLOPS_PER_SECOND,
        start_seconds=mini.START_SECONDS,
        num_seeds=5,
        threads=1,  # so small that more are idle; and sums are in one order, on however many cores
    ),
}  # fmt: skip
