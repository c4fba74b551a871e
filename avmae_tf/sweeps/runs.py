"""The runs of a sweep, each once: what it trains, on what, and after which others."""

import dataclasses
import functools
from collections.abc import Iterator

import pydantic

from avmae_tf.config import FinetuneConfig, PretrainConfig, TrainingConfig, first_error
from avmae_tf.models.cost import finetuning_flops, pretraining_flops
from avmae_tf.storage import short_hash
from avmae_tf.sweeps.cells import HOURS, LOSS, TOP1, Cell, Finetuning, Pretraining, Sweep
from avmae_tf.sweeps.scales import Scale

STEP_IN_PASSES = 3  # FLOPs of a training step, in forward passes
NUM_CLASSES = 309  # of VGGSound; a head is nothing beside the rest


@dataclasses.dataclass(frozen=True)
class Run:
    """A training with all its settings, and what it starts from: other runs, or named inputs.

    Two sweeps that ask for the same run share it.
    """

    config: TrainingConfig
    data: str
    start: tuple['Run | str', ...]
    num_clips: int

    @functools.cached_property
    def name(self) -> str:
        """A name for its folder, equal for equal settings, data and start."""
        starts = [s if isinstance(s, str) else s.name for s in self.start]
        text = '\n'.join([self.data, self.config.to_json(), *starts])
        return f'{self.kind}-{short_hash([text.encode()])}'

    @property
    def kind(self) -> str:
        """The verb that trains it."""
        return 'pretrain' if isinstance(self.config, PretrainConfig) else 'finetune'

    @property
    def before(self) -> list['Run']:
        """The runs that it starts from."""
        return [start for start in self.start if isinstance(start, Run)]

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs that it needs by itself: records, and models of others."""
        return [self.data, *(start for start in self.start if isinstance(start, str))]

    @property
    def flops(self) -> float:
        """Of all its steps."""
        if isinstance(self.config, FinetuneConfig):
            forward = sum(finetuning_flops(self.config, NUM_CLASSES).values())
            # A frozen encoder has no backward pass.
            passes = 1 if self.config.freeze_encoder else STEP_IN_PASSES
        else:
            assert isinstance(self.config, PretrainConfig)
            forward, passes = sum(pretraining_flops(self.config).values()), STEP_IN_PASSES
        return passes * forward * self.num_clips * self.config.schedule.epochs


@dataclasses.dataclass(frozen=True)
class Planned:
    """A cell and a seed with the run that fills it, or the reason why there is none."""

    cell: Cell
    seed: int
    run: Run | None = None
    reason: str = ''

    @property
    def evaluated(self) -> bool:
        """Whether its metric is none of the training's own, and has to be measured."""
        return self.cell.metric not in (TOP1, LOSS, HOURS, 'action')


def plan(sweep: Sweep, scale: Scale, seeds: int) -> list[Planned]:
    """Every cell with every seed from 0 on."""
    return [_planned(cell, seed, scale) for cell in sweep.cells for seed in range(seeds)]


def _planned(cell: Cell, seed: int, scale: Scale) -> Planned:
    try:
        return Planned(cell, seed, make_run(cell.run, seed, scale))
    except pydantic.ValidationError as error:
        return Planned(cell, seed, reason=first_error(error))
    except ValueError as error:
        return Planned(cell, seed, reason=str(error))


def make_run(wanted: Pretraining | Finetuning, seed: int, scale: Scale) -> Run:
    """The run of a seed; raises ValueError where there is none at this scale."""
    config = scale.settings(wanted, seed)
    if isinstance(wanted, Pretraining):
        return Run(config, wanted.data, (), scale.clips[wanted.data])
    models = [s for s in wanted.start if isinstance(s, str)]
    if missing := set(models) - set(scale.models):
        raise ValueError(f'there is no {min(missing)} at this scale')
    start = tuple(s if isinstance(s, str) else make_run(s, seed, scale) for s in wanted.start)
    num_clips = scale.labelled.get(wanted.data, scale.clips[wanted.data])
    return Run(config, wanted.data, start, num_clips)


def in_order(planned: list[Planned]) -> list[Run]:
    """The runs of all cells, each once and after those that it starts from, seed by seed."""
    found: dict[str, Run] = {}
    for item in sorted(planned, key=lambda item: item.seed):
        for run in _with_before(item.run) if item.run else ():
            found.setdefault(run.name, run)
    return list(found.values())


def _with_before(run: Run) -> Iterator[Run]:
    for before in run.before:
        yield from _with_before(before)
    yield run


def hours(run: Run, scale: Scale) -> float:
    """How long a run is expected to take, of one accelerator or of one core."""
    return (scale.start_seconds + run.flops / scale.flops_per_second) / 3600
