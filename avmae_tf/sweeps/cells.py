"""What a sweep consists of: cells of a table, each a run and what it is measured by."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = ('A', 'V', 'AV')  # what is finetuned on, as the paper calls it
TOP1, MAP, ACTION, LOSS, HOURS = 'top1', 'map', 'action', 'loss', 'hours'
METRICS = {'as500k': MAP, 'epic-kitchens': ACTION}  # of a data set; Top-1 elsewhere
SHARES = (TOP1, MAP, ACTION)  # metrics that are told in percent, as recalls are
RETRIEVAL = {
    f'{asked} to {answer}, recall at 1': f'{asked}_to_{answer}_recall_at_1'
    for asked, answer in (('audio', 'video'), ('video', 'audio'))
}


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """A pretraining: on which data, for how many of the paper's epochs, and what is changed.

    `rate` is a factor on the learning rate of the recipe.
    """

    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    data: str = 'vggsound'
    size: str = 'base'
    epochs: float = 400
    rate: float = 1.0


@dataclasses.dataclass(frozen=True)
class Finetuning:
    """A finetuning, from pretrainings or from the inputs of these names; from scratch without."""

    start: tuple[Pretraining | str, ...] = ()
    column: str = 'AV'
    data: str = 'vggsound'
    size: str = 'base'
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands in a row and a column; `paper` is None where the paper has no figure.

    Figures are percent, losses, or hours.
    """

    row: str
    column: str
    run: Pretraining | Finetuning
    metric: str
    paper: float | None = None


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A table of the paper, or one of our own."""

    title: str
    cells: tuple[Cell, ...]


def finetuned(
    row: str,
    start: Iterable[Pretraining | str],
    paper: float | None = None,
    *,
    title: str | None = None,
    **run: Any,
) -> Cell:
    """A finetuning; `run` are fields of it, and its column is the table's without a `title`."""
    made = Finetuning(tuple(start), **run)
    return Cell(row, title or made.column, made, METRICS.get(made.data, TOP1), paper)


def all_columns(
    row: str, start: Iterable[Pretraining | str], papers: Iterable[float | None], **run: Any
) -> list[Cell]:
    """The same start, finetuned on sound, on pictures, and on both."""
    start = tuple(start)
    return [
        finetuned(row, start, paper, column=column, **run)
        for column, paper in zip(COLUMNS, papers, strict=True)
    ]


def mae(encoder: Any = 'mid', decoder: str = 'shared', **changes: Any) -> dict[str, Any]:
    """Changes of a pretraining to another encoder and decoder, and others."""
    return {'encoder': encoder, 'decoder': {'fusion': decoder}, **changes}


def alone(modality: str, **masking: float) -> dict[str, Any]:
    """Changes that leave one modality: AudioMAE or VideoMAE."""
    return mae('shared', 'shared', modalities=[modality], masking=masking)


def inpainting(direction: str) -> dict[str, str]:
    """The objective that inpaints in a direction."""
    return {'kind': 'inpainting', 'direction': direction}
