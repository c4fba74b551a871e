"""`avmae pipeline submit` and `status`: runs on engines, and how a run ended."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from avmae_tf import console
from avmae_tf.console import Failed
from pipeline.targets import LOCAL, TARGETS

if TYPE_CHECKING:
    from components.outcome.component import Outcome
    from pipeline.config import PipelineConfig
    from pipeline.engines import Engine, Run

file_option = click.option('--config', 'path', required=True, help='YAML file of the pipeline.')
target_option = click.option(
    '--target', type=click.Choice(TARGETS), default=LOCAL, show_default=True,
    help='Where it runs; the settings are in the file, under targets.',
)  # fmt: skip
set_option = click.option(
    '--set', 'changes', multiple=True, metavar='NAME=VALUE',
    help='A runtime parameter that is another one than in the file, by its name there: '
    '--set gate.min_top1=0.3. What may change is data.videos, data.annotations, data.subset, '
    'epochs and learning_rate of start.pretrain.schedule and finetune.schedule, and the bounds of '
    'the gate; nothing for VALUE is none. May be given again.',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sent:
    """A run that an engine has taken, and the parameters that it was given."""

    engine: Engine
    run: Run
    parameters: dict[str, str]


def send(path: str, target: str, changes: Sequence[str]) -> Sent:
    """Starts a run on an engine; nothing is sent before all of it is checked."""
    from pipeline.engines import engine_for
    from pipeline.parameters import read_parameters

    here = f'`avmae pipeline run --config {shlex.quote(path)}` runs it here'
    config = remote_config(path, target, here)
    parameters = read_parameters(config, target, changes)
    engine = engine_for(config, target)
    return Sent(engine, engine.submit(parameters), parameters)


def follow(sent: Sent) -> Outcome:
    """Waits until the run has ended; raises Failed where the model was not pushed."""
    from pipeline.engines import outcome_of, wait

    config = sent.engine.config
    try:
        run = wait(sent.engine, sent.run.id, console.say)
    except (KeyboardInterrupt, Failed):  # stopped, or the engine cannot be asked any more
        console.say(f'the run goes on; see {sent.run.address}')
        raise
    outcome = outcome_of(config, run)
    judge(config, sent.parameters, outcome)
    return outcome


def judge(config: PipelineConfig, parameters: Mapping[str, str], outcome: Outcome) -> None:
    """Raises Failed where the model did not pass the gate; says what a pass is worth."""
    if not outcome.blessed:
        raise Failed(outcome.refusal)
    gate = config.settings.changed(parameters).gate
    if gate.is_open:
        console.say('the gate has no bounds: every model passes')
    elif gate.max_loss_of_top1 is not None and not outcome.compared:
        console.say('the gate had nothing to compare with: no other model has passed it before')


def show_outcome(outcome: Outcome) -> None:
    """The figures of a model, and where it and its report are."""
    from avmae_tf.data.labelled import say_left_out

    for name, value in outcome.metrics.items():
        console.echo(f'{name:10} {"undefined" if value is None else format(value, ".4f")}')
    if outcome.left_out:
        console.echo(say_left_out(outcome.left_out))
    console.echo(f'pushed to {outcome.pushed}' if outcome.blessed else outcome.refusal)
    console.say(f'report in {outcome.report}')


@click.command()
@file_option
@target_option
@set_option
@click.option('--wait', is_flag=True, help='Wait for its end, as `avmae pipeline run` does.')
def submit(path: str, target: str, changes: tuple[str, ...], wait: bool) -> None:
    """Start a run on an engine, and print the address of its page.

    Exit code 0 as soon as the engine has taken it; with --wait those of `avmae pipeline run`.
    """
    sent = send(path, target, changes)
    console.echo(sent.run.address)
    if wait:
        show_outcome(follow(sent))
        return
    options = f'--config {shlex.quote(path)} --target {target}'
    console.say(f'look: avmae pipeline status {options} {sent.run.id}')


@click.command()
@file_option
@target_option
@click.option(
    '--last', default=10, show_default=True, type=click.IntRange(1, 100), help='So many runs.'
)
@click.argument('run', required=False)
def status(path: str, target: str, last: int, run: str | None) -> None:
    """Show the last runs; with RUN, the id of one, its components and how it ended.

    Of this machine (--target local) there are the runs that ended with a judgement.
    """
    from pipeline.config import load_config
    from pipeline.engines import SUCCEEDED, engine_for, outcome_of

    config = load_config(path)
    if target == LOCAL:
        _local_status(config, last, run)
        return
    engine = engine_for(config, target)
    if run is None:
        rows = ((x.id, x.state.lower(), _when(x.created), x.address) for x in engine.runs(last))
        show_table(('run', 'state', 'created', 'page'), rows, 'no run yet')
        return
    found = engine.run(run)
    console.echo(f'{found.id} {found.state.lower()}', found.address)
    if found.tasks:
        rows = ((x.name, x.state.lower(), x.error) for x in found.tasks)
        show_table(('component', 'state', 'error'), rows)
    if found.state == SUCCEEDED:
        show_outcome(outcome_of(config, found))
    elif found.error:
        console.echo(found.error)


def _local_status(config: PipelineConfig, last: int, run: str | None) -> None:
    from avmae_tf.storage import names_in, read_settings
    from components.outcome.component import LAST, Outcome

    def read(name: str) -> Outcome:
        path = os.path.join(config.outcomes, f'{name}.json')
        return read_settings(path, Outcome, 'run the pipeline again')

    names = sorted(x.removesuffix('.json') for x in names_in(config.outcomes))
    names = [name for name in names if name != LAST]
    if run is None:
        outcomes = map(read, reversed(names[-last:]))
        rows = ((x.run, 'pushed' if x.blessed else 'refused', x.pushed) for x in outcomes)
        show_table(('run', 'gate', 'model'), rows, f'no run has ended yet below {config.root}')
        return
    if run not in names:
        raise ValueError(f'{run}: no such run in {config.outcomes}; without it all are shown')
    show_outcome(read(run))


def remote_config(path: str, target: str, instead: str) -> PipelineConfig:
    """The settings of a pipeline that an engine runs; `instead` is what this machine does."""
    from pipeline.config import load_config

    if target == LOCAL:
        raise ValueError(f'--target {LOCAL} is this machine: {instead}; or give another --target')
    return load_config(path)


def _when(time) -> str:
    return f'{time:%Y-%m-%d %H:%M}' if time else ''


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], none: str = '') -> None:
    """Lines that are as long as they are, so that other programs can read them; or says `none`."""
    lines = [columns, *rows]
    if len(lines) == 1:
        console.say(none)
        return
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for cells in lines:
        padded = (x.ljust(width) for x, width in zip(cells, widths, strict=True))
        console.echo('  '.join(padded).rstrip())
