"""`avmae sweep`: a table of the paper as one command."""

import os

import click

from avmae_tf import console
from avmae_tf.sweeps.tables import SWEEPS


@click.command()
@click.argument('name', type=click.Choice(list(SWEEPS)), metavar='NAME')
@click.option(
    '--scale',
    type=click.Choice(['mini', 'paper']),
    default='mini',
    show_default=True,
    help='Small models on generated clips, or the recipes of the paper.',
)
@click.option(
    '--workdir',
    default='sweeps',
    show_default=True,
    help='Runs, records and results; several sweeps, and several machines, may share it.',
)
@click.option(
    '--seeds',
    type=click.IntRange(min=1),
    metavar='N',
    help='Seeds 0 to N - 1 of every run.  [default: 5 of mini, 1 of paper]',
)
@click.option(
    '--input',
    'given',
    multiple=True,
    metavar='NAME=PATH',
    help='Where something is that the scale `paper` needs: records by data set, and image-vit-base '
    'or image-vit-large, an augreg .npz.',
)
@click.option(
    '--jobs',
    type=click.IntRange(min=1),
    metavar='N',
    help='Runs side by side.  [default: mini as many as there are cores, paper 1]',
)
@click.option('--dry-run', is_flag=True, help='Print the runs and the hours that they may take.')
def sweep(
    name: str,
    scale: str,
    workdir: str,
    seeds: int | None,
    given: tuple[str, ...],
    jobs: int | None,
    dry_run: bool,
) -> None:
    """Train what a table of the paper compares, and put the figures beside the paper's.

    NAME is table1 to table6, table8 to table19, figure4, or beyond: objectives that the paper does
    not have. The smallest is gain: from scratch, and from an audiovisual pretraining. Runs that are
    done are not repeated, whichever sweep did them; a killed sweep goes on when it is started
    again. Started on several machines with the same --workdir on a shared disk, each takes the next
    run that none has in hand.

    \b
    WORKDIR/NAME-SCALE.csv   every figure, by seed
    WORKDIR/NAME-SCALE.md    means and deviations beside the paper's figures
    WORKDIR/NAME-SCALE.png   the same as a plot
    WORKDIR/logs             HParams for TensorBoard
    """
    from avmae_tf.storage import is_remote
    from avmae_tf.sweeps.runs import in_order, plan
    from avmae_tf.sweeps.scales import SCALES

    if is_remote(workdir):
        raise ValueError(f'--workdir must be a folder of this machine, got {workdir}')
    chosen, wanted, inputs = SCALES[scale], SWEEPS[name], _inputs(given)
    planned = plan(wanted, chosen, seeds or chosen.num_seeds)
    for reason in dict.fromkeys(item.reason for item in planned if item.reason):
        console.say(f'left out: {reason}')
    runs = in_order(planned)
    threads = chosen.threads
    jobs = jobs or (len(os.sched_getaffinity(0)) // threads if threads else 1)
    if dry_run:
        _show(runs, chosen, scale, jobs)
        return

    from avmae_tf.sweeps import mini, report, work

    needed = {need for run in runs for need in run.inputs}
    if scale == 'mini':
        inputs |= mini.make_inputs(os.path.join(workdir, 'mini'), needed, console.say)
    if missing := needed - set(inputs):
        options = ', '.join(f'--input {need}=PATH' for need in sorted(missing))
        raise ValueError(f'{name} at the scale {scale!r} needs {options}')
    evaluated = [item.run.name for item in planned if item.run and item.evaluated]
    work.carry_out(workdir, runs, inputs, evaluated, console.say, jobs, threads)
    header = f'`avmae sweep {name} --scale {scale} --seeds {seeds or chosen.num_seeds}`: ' + (
        'mean and standard deviation over seeds, in brackets the figure of the paper.'
    )
    paths = report.write_report(wanted, planned, workdir, f'{name}-{scale}', header)
    with open(paths['md']) as f:
        console.echo(*f.read().splitlines())
    console.echo('', *(f'{kind:5} {path}' for kind, path in paths.items()))


def _inputs(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, path = text.partition('=')
        if not (name and equals and path):
            raise click.BadParameter(f'{text!r} is not NAME=PATH', param_hint='--input')
        found[name] = path
    return found


def _show(runs, scale, name: str, jobs: int):
    """The runs with what they cost."""
    from rich.table import Table

    from avmae_tf.sweeps.runs import hours

    unit = 'TPU v3 core hours' if name == 'paper' else 'core hours'
    table = Table('run', 'after', 'seed', 'clips', 'epochs', 'PFLOP', unit)
    for run in runs:
        after = ', '.join(s if isinstance(s, str) else s.name for s in run.start) or 'scratch'
        epochs, seed = run.config.schedule.epochs, run.config.seed
        after = after if run.kind == 'finetune' else ''
        table.add_row(
            run.name, after, str(seed), f'{run.num_clips:,}', f'{epochs:g}',
            f'{run.flops / 1e15:,.3g}', f'{hours(run, scale):,.3g}',
        )  # fmt: skip
    console.screen(soft_wrap=True).print(console.safe(table))
    total = sum(hours(run, scale) for run in runs)
    beside = f', {total / jobs:,.3g} hours {jobs} side by side' if name == 'mini' else ''
    console.echo(f'{len(runs)} runs, {total:,.3g} {unit} in all{beside}')
    if name == 'paper':
        console.echo(
            f'on 32 cores {total / 32:,.3g} hours; Table 19: 59.0 for AudioMAE, 84.4 for VideoMAE, '
            '89.2 for both in one (800 epochs of VGGSound)'
        )
