"""`avmae pipeline schedule`: runs by the clock of an engine."""

import os
import shlex

import click

from avmae_tf import console
from avmae_tf.cli import engines


@click.group()
def schedule() -> None:
    """Have an engine run the pipeline by the clock: new videos are found by each run itself.

    One run at a time; a run that is missed is not made up for, as the next one sees all that it
    would have seen. A schedule keeps the file as it is when the schedule is made: after a change
    delete it, and create it anew.
    """


@schedule.command()
@engines.file_option
@engines.target_option
@engines.set_option
@click.option(
    '--cron', required=True, metavar="'M H DAY MONTH WEEKDAY'",
    help="When: '0 3 * * 1' is each Monday at three.",
)  # fmt: skip
@click.option(
    '--timezone', metavar='ZONE',
    help='As in Europe/Berlin; UTC without it. Kubeflow has the one of its controller.',
)  # fmt: skip
def create(
    path: str, target: str, changes: tuple[str, ...], cron: str, timezone: str | None
) -> None:
    """Make a schedule, and print its id."""
    from pipeline.cron import check_cron, check_timezone
    from pipeline.engines import engine_for
    from pipeline.parameters import read_parameters

    cron = check_cron(cron)
    config = engines.remote_config(path, target, _crontab(path, cron))
    parameters = read_parameters(config, target, changes)
    zone = check_timezone(timezone) if timezone else None
    made = engine_for(config, target).create_schedule(cron, parameters, zone)
    console.echo(made.id)
    console.say(f'runs {config.name} at {made.cron}')


@schedule.command('list')
@engines.file_option
@engines.target_option
def list_(path: str, target: str) -> None:
    """Show the schedules of a pipeline."""
    from pipeline.engines import engine_for

    config = engines.remote_config(path, target, _crontab(path))
    found = engine_for(config, target).schedules()
    rows = ((x.id, x.cron, 'paused' if x.is_paused else 'active', x.name) for x in found)
    engines.show_table(('schedule', 'cron', 'state', 'pipeline'), rows, 'no schedule yet')


def _change(verb: str, done: str, help_text: str) -> None:
    """Adds a verb that does something to one schedule."""

    @schedule.command(verb, help=help_text)
    @engines.file_option
    @engines.target_option
    @click.argument('schedule_id', metavar='SCHEDULE')
    def change(path: str, target: str, schedule_id: str) -> None:
        from pipeline.engines import engine_for

        config = engines.remote_config(path, target, _crontab(path))
        getattr(engine_for(config, target), verb)(schedule_id)
        console.echo(f'{schedule_id} {done}')


_change('pause', 'paused', 'Start no more runs until it is resumed; the one that runs goes on.')
_change('resume', 'resumed', 'Start runs again; those that were missed are not made up for.')
_change('delete', 'deleted', 'Take a schedule away; its runs and their models stay.')


def _crontab(path: str, cron: str = '0 3 * * 1') -> str:
    from avmae_tf.storage import is_remote

    file = shlex.quote(path if is_remote(path) else os.path.abspath(path))
    line = f'{cron} avmae pipeline run --config {file}'
    return f'its clock is cron (crontab -e), with the line `{line}`'
