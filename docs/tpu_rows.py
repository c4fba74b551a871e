"""The rows of tpu.csv: which ways to train there are, and what the compiler said of them."""

import csv
import dataclasses
from collections.abc import Iterable
from pathlib import Path

from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    AugmentSpec,
    TrainingConfig,
    heads,
    splits,
)
from avmae_tf.config.heads import Classes
from avmae_tf.storage import written
from avmae_tf.tpu import fitting
from avmae_tf.tpu.compiler import CompiledStep

ROWS = Path(__file__).with_name('tpu.csv')
RECIPES = {'pretrain': PRETRAIN_RECIPES, 'finetune': FINETUNE_RECIPES}
PRECISIONS = ('mixed_bfloat16', 'float32')
NUM_CLASSES = {  # by the data set in the name of a recipe
    'vggsound': {heads.LABEL: 309},
    'audioset': {heads.LABEL: 527},
    'epic-kitchens': {heads.NOUN: 300, heads.VERB: 97},
    'ave': {heads.EVENT: 29},
    'demo': {heads.LABEL: 16},
    'mini': {heads.LABEL: 8},
}
NUM_CLIPS = {'vggsound': 170_000, 'audioset': 1_800_000}  # to pretrain on (Sec. 4.1)


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to train a recipe."""

    recipe: str  # 'pretrain/demo'
    precision: str
    rematerialise: bool

    @property
    def config(self) -> TrainingConfig:
        task, name = self.recipe.split('/')
        return RECIPES[task][name].replace(
            precision=self.precision, rematerialise=self.rematerialise
        )

    def of_core(self, clips: int) -> TrainingConfig:
        schedule = self.config.schedule.replace(batch_size=clips)
        return self.config.replace(schedule=schedule)

    @property
    def classes(self) -> Classes:
        sizes = NUM_CLASSES[data_set(self.recipe)] if self.recipe.startswith('finetune') else {}
        return {head: tuple(map(str, range(n))) for head, n in sizes.items()}


class Row(CompiledStep):
    """A line of tpu.csv."""

    recipe: str
    precision: str
    rematerialise: bool
    version: str
    code: str  # which was compiled: `git describe`

    @property
    def case(self) -> Case:
        return Case(self.recipe, self.precision, self.rematerialise)


def data_set(recipe: str) -> str:
    name = recipe.split('/')[1].removeprefix('release-')
    return next(known for known in NUM_CLASSES if name.startswith(known))


def alike(recipe: str) -> tuple:
    """What recipes share whose steps are the same but for numbers and for the host's work."""
    config = Case(recipe, 'float32', False).config
    mixup = config.augment.mixup and config.augment.mixup.replace(alpha=1.0)
    config = config.replace(
        schedule=PRETRAIN_RECIPES['demo'].schedule.replace(batch_size=config.schedule.batch_size),
        augment=AugmentSpec(mixup=mixup),
        audio=config.audio.replace(mean=0.0, deviation=1.0),
    )
    return config.to_json(), *NUM_CLASSES[data_set(recipe)].items(), recipe.split('/')[0]


def recipes() -> dict[str, list[str]]:
    """Recipes by the first of those that are alike."""
    found: dict[tuple, list[str]] = {}
    for task, known in RECIPES.items():
        for name in known:
            found.setdefault(alike(f'{task}/{name}'), []).append(f'{task}/{name}')
    return {names[0]: names for names in found.values()}


def read() -> list[Row]:
    if not ROWS.exists():
        return []
    with open(ROWS, newline='') as f:
        return [Row.model_validate(line) for line in csv.DictReader(f)]


def write(rows: list[Row]) -> None:
    with written(str(ROWS)) as f:
        table = csv.DictWriter(f, list(Row.model_fields), lineterminator='\n')
        table.writeheader()
        order = list(recipes())
        for row in sorted(rows, key=lambda r: (order.index(r.recipe), r.version, r.precision,
                                               r.rematerialise, r.step, r.clips)):  # fmt: skip
            values = row.model_dump()
            table.writerow(
                {k: f'{v:.4g}' if isinstance(v, float) else v for k, v in values.items()}
            )


def largest(rows: Iterable[Row]) -> Row | None:
    """The training step with the most clips that fit."""
    fit = [row for row in rows if row.outcome == 'compiles' and row.step == splits.TRAIN]
    return max(fit, key=lambda row: row.clips, default=None)


def wanted(
    case: Case, version: str, rows: Iterable[Row], memory_gib: float, first: int = fitting.FIRST
) -> int:
    """Clips to compile a training step of `case` with for a version next; 0 if all is known.

    A step takes about the same memory on all versions, so that most need one compilation.
    """
    alike = [row for row in rows if row.case == case and row.step == splits.TRAIN]
    own = {row.clips: row for row in alike if row.version == version}
    known = {row.clips: _as_if(row, memory_gib) for row in alike if row.peak_gib} | own
    clips = fitting.next_attempt(known, case.config.schedule.batch_size, memory_gib, first)
    if not clips:
        fit = largest(known.values())
        clips = fit.clips if fit else min(known)
    return 0 if clips in own else clips


def _as_if(row: Row, memory_gib: float) -> Row:
    """A row of another version, as it is to be expected where a core has that memory."""
    return row.replace(outcome='compiles' if row.peak_gib <= memory_gib else 'too large')
