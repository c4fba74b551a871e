"""Pipelines that run elsewhere: hand one over, look after it, have it run by the clock."""

import abc
import dataclasses
import datetime
import os
import time
import uuid
from collections.abc import Callable, Mapping

from avmae_tf.console import Failed
from avmae_tf.storage import read_settings
from components.outcome.component import Outcome
from pipeline.config import PipelineConfig
from pipeline.targets import KUBEFLOW, LOCAL, Target

SUCCEEDED, FAILED, CANCELLED, PENDING = 'SUCCEEDED', 'FAILED', 'CANCELLED', 'PENDING'
ENDED = (SUCCEEDED, FAILED, CANCELLED)
NO_RUN = '{}: no such run at {}; `avmae pipeline status` lists the last ones'
NO_SCHEDULE = '{}: no such schedule at {}; `avmae pipeline schedule list` lists those there are'
POLL_SECONDS = 20.0
PATIENCE = 30  # looks without an answer, one after the other, until waiting is given up
TIMEOUT_SECONDS = 60.0  # of one question to an engine


class Unreachable(Failed):
    """An engine does not answer; it may do so again."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A component in a run. `error` is what the engine says of its failure, '' for nothing."""

    name: str
    state: str
    error: str = ''


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a pipeline on an engine; `address` is its page, for people."""

    id: str
    address: str
    state: str
    created: datetime.datetime | None = None
    error: str = ''
    tasks: tuple[Task, ...] = ()

    @property
    def failure(self) -> str:
        """What failed, as far as the engine tells."""
        failed = [task for task in self.tasks if task.state == FAILED]
        told = [f'{x.name} failed: {x.error or self.error or "no reason is given"}' for x in failed]
        return '; '.join(told) or self.error or 'no reason is given'


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A pipeline that an engine runs by the clock."""

    id: str
    name: str
    cron: str
    is_paused: bool


class Engine(abc.ABC):
    """What runs a pipeline elsewhere. Parameters are those of the run, by name, as text.

    Every method raises `Unreachable` where no answer comes, `Failed` for one that the user has no
    part in, and ValueError, naming the field, for what the user can mend.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config

    @abc.abstractmethod
    def submit(self, parameters: Mapping[str, str]) -> Run:
        """Starts a run."""

    @abc.abstractmethod
    def run(self, run_id: str) -> Run:
        """How a run is."""

    @abc.abstractmethod
    def runs(self, limit: int) -> list[Run]:
        """The last ones, the newest first, without their tasks."""

    @abc.abstractmethod
    def create_schedule(
        self, cron: str, parameters: Mapping[str, str], timezone: str | None = None
    ) -> Schedule:
        """Has the pipeline run whenever `cron` (`check_cron`) says, one run at a time."""

    @abc.abstractmethod
    def schedules(self) -> list[Schedule]:
        """All that there are of this pipeline."""

    @abc.abstractmethod
    def pause(self, schedule_id: str) -> None:
        """No more runs until it is resumed."""

    @abc.abstractmethod
    def resume(self, schedule_id: str) -> None:
        """Runs again; those that were missed are not made up for."""

    @abc.abstractmethod
    def delete(self, schedule_id: str) -> None:
        """Takes a schedule away; its runs stay."""


def engine_for(config: PipelineConfig, target: Target) -> Engine:
    """The engine of a target, which is not asked anything yet.

    Raises:
        ValueError: the file does not say where it is, or the target is this machine.
    """
    if target == LOCAL:
        raise ValueError(f'the target {LOCAL} is this machine, and no engine')
    config.targets.of(target)
    if target == KUBEFLOW:
        from pipeline.kubeflow import Kubeflow

        return Kubeflow(config)
    from pipeline.vertex import Vertex

    return Vertex(config)


def new_name(config: PipelineConfig) -> str:
    """A name for a run that no other has, and that sorts by time."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return f'{config.name}-{now:%Y%m%d%H%M%S}-{uuid.uuid4().hex[:4]}'


def wait(
    engine: Engine, run_id: str, say: Callable[..., None], seconds: float | None = None
) -> Run:
    """Looks every so many seconds until the run has ended; says what changes.

    Raises:
        Unreachable: the engine did not answer `PATIENCE` looks in a row.
    """
    seen: dict[str, str] = {}
    missed = 0
    while True:
        try:
            run = engine.run(run_id)
            missed = 0
        except Unreachable as error:
            missed += 1
            if missed == PATIENCE:
                raise
            say(f'{error}; asking again')
        else:
            states = {f'  {task.name}': task.state for task in run.tasks} | {'run': run.state}
            for name, state in states.items():
                if seen.get(name) != state:
                    say(f'{name} {state.lower()}')
            seen = states
            if run.state in ENDED:
                return run
        time.sleep(POLL_SECONDS if seconds is None else seconds)


def outcome_of(config: PipelineConfig, run: Run) -> Outcome:
    """How a run that has ended did, as its graph wrote it down.

    Raises:
        Failed: it did not succeed, or what it wrote cannot be read on this machine.
    """
    if run.state != SUCCEEDED:
        raise Failed(f'the run {run.state.lower()}: {run.failure}; see {run.address}')
    path = os.path.join(config.outcomes, f'{run.id}.json')
    try:
        return read_settings(path, Outcome, 'look at the run itself')
    except Exception as error:
        what = getattr(error, 'strerror', None) or getattr(error, 'message', None) or error
        raise Failed(
            f'{path}: the run has succeeded, and whether its model was pushed cannot be read from '
            f'here ({" ".join(str(what).split())}); let this machine read the bucket, or see '
            f'{run.address}'
        ) from error
