"""`avmae parity` and `avmae import-scenic`: the authors' numbers and checkpoints."""

import json

import click

from avmae_tf import console


def _group(name: str) -> str:
    """What a line of the table is about: 'inter/tokens' of 'inter/tokens/rgb'."""
    path, bracket, note = name.partition(' (')
    parts = path.split('/')
    return '/'.join(parts[: 2 if parts[0] == 'inter' else 1]) + bracket + note


def _worst_first(report):
    """(group, its comparisons, worst of them) of one fixture; what was not compared comes last."""
    groups = {}
    for comparison in report:
        unknown = comparison.error is None
        key = (unknown, comparison.note if unknown else '', _group(comparison.name))
        groups.setdefault(key, []).append(comparison)
    worst = [(key[2], g, max(g, key=lambda c: c.error or 0.0)) for key, g in groups.items()]
    return sorted(worst, key=lambda line: (line[2].error is None, -(line[2].error or 0.0)))


def _print_table(reports: dict):
    import sys

    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title, justify in (('fixture and arrays', 'left'), ('number', 'right'), ('error', 'right')):
        table.add_column(title, justify=justify)
    table.add_column('worst of them')
    for path, report in reports.items():
        table.add_row(path.rpartition('/')[2], style='bold')
        for group, comparisons, worst in _worst_first(report):
            if worst.error is None:
                figures, style = ('-', f'not compared: {worst.note}'), 'dim'
            else:
                failed = worst.failed
                figures = (f'{worst.error:.1e}', worst.note if failed else '')
                style = 'red' if failed else None
                name = worst.name if len(comparisons) > 1 else ''
                figures = (figures[0], f'{name} {figures[1]}'.strip())
            table.add_row(f'  {group}', str(len(comparisons)), *figures, style=style)
    width = None if sys.stdout.isatty() else 140
    console.screen(width=width).print(console.safe(table))


@click.command()
@click.option('--json', 'as_json', is_flag=True, help='Print every comparison as JSON.')
@click.argument('fixtures', nargs=-1, required=True, metavar='FIXTURE.npz...')
def parity(fixtures: tuple[str, ...], as_json: bool) -> None:
    """Replay golden fixtures of the authors' model and print the largest relative error.

    The error of an array is max|ours - theirs| / max|theirs|. The exit code is 1 where one is
    above 1e-4, or above 1e-3 for gradients and what one step makes of them; it is 2 where a file
    cannot be replayed.
    """
    from avmae_tf.interop.parity import check_fixtures

    reports, faults = check_fixtures(fixtures)
    every = [c for report in reports.values() for c in report]
    compared = [c for c in every if c.error is not None]
    failed = [c for c in compared if c.failed]
    if as_json:
        rows = {
            path: [{**c._asdict(), 'failed': c.failed} for c in report]
            for path, report in reports.items()
        }
        console.echo(json.dumps(rows))
    else:
        _print_table(reports)
        worst = max((c.error for c in compared), default=0.0)
        verdict = f'{len(failed)} differ' if failed else 'all agree'
        console.echo(
            f'{verdict}: {len(compared)} arrays of {len(reports)} fixtures, '
            f'largest error {worst:.1e}; {len(every) - len(compared)} not compared'
        )
    if faults:
        raise ValueError('; '.join(faults))
    if failed:
        raise SystemExit(1)


def _class_names(files: tuple[str, ...], count: int) -> dict[str, tuple[str, ...]]:
    """The classes of each head, from [HEAD=]FILE with one name a line; numbers without a file."""
    if not files:
        return {'label': tuple(f'class {i}' for i in range(count))}
    from avmae_tf.storage import open_text

    heads = {}
    for file in files:
        head, equals, path = file.rpartition('=')
        with open_text(path) as f:
            names = tuple(line.strip() for line in f if line.strip())
        heads[head if equals else 'label'] = names
    if sum(map(len, heads.values())) != count:
        found = ' + '.join(str(len(names)) for names in heads.values())
        raise ValueError(f'{", ".join(files)}: must name {count} classes, one a line, got {found}')
    return heads


@click.command('import-scenic')
@click.argument('checkpoint')
@click.option('--config', required=True, help='Recipe that it was trained with: name or YAML file.')
@click.option(
    '--set', 'changes', multiple=True, metavar='FIELD=VALUE', help='Change a setting of the recipe.'
)
@click.option(
    '--classes',
    multiple=True,
    metavar='[HEAD=]FILE',
    help='Class names, one a line; for two heads: --classes noun=FILE --classes verb=FILE.',
)
@click.option('--out', required=True, help='Folder for the model.')
@click.option('--saved-model', help='Folder for a SavedModel of a classifier as well.')
def import_scenic(
    checkpoint: str,
    config: str,
    changes: tuple[str, ...],
    classes: tuple[str, ...],
    out: str,
    saved_model: str | None,
) -> None:
    """Turn a checkpoint that the authors trained into a model folder.

    Pretrained models go on to `avmae finetune --pretrained OUT`, classifiers to `avmae export`.
    """

    from avmae_tf.cli.recipes import read_recipe
    from avmae_tf.config import (
        FINETUNE_RECIPES,
        PRETRAIN_RECIPES,
        FinetuneConfig,
        MediaSpec,
        PretrainConfig,
    )
    from avmae_tf.data.dataset import Dataset
    from avmae_tf.data.locks import held
    from avmae_tf.interop import checkpoints
    from avmae_tf.models.builders import build_avmae, build_classifier
    from avmae_tf.storage import exists
    from avmae_tf.training.checkpoints import save_model
    from avmae_tf.training.export import export_saved_model

    for folder in filter(None, (out, saved_model)):
        if exists(folder):
            raise ValueError(f'{folder}: exists already; give another folder, or delete this one')
    arrays = checkpoints.read_parameters(checkpoint)
    dataset = Dataset(media=MediaSpec(), splits={}, fingerprint='')
    if checkpoints.is_pretraining(arrays):
        if saved_model or classes:
            raise ValueError(f'{checkpoint}: is a pretrained encoder: it has no classes to serve')
        settings = read_recipe(config, PRETRAIN_RECIPES, changes, PretrainConfig)
        model = build_avmae(settings)
    else:
        names = _class_names(classes, checkpoints.num_classes(arrays, checkpoint))
        dataset = dataset.replace(heads=names)
        settings = read_recipe(config, FINETUNE_RECIPES, changes, FinetuneConfig)
        model = build_classifier(settings, {h: len(n) for h, n in dataset.heads.items()})
    checkpoints.import_parameters(model, arrays, checkpoint)
    with held(out, beside=True):
        save_model(out, model, dataset)
    console.echo(f'model in {out}: {len(arrays)} parameters of {checkpoint}')
    if saved_model:
        export_saved_model(out, saved_model)
        console.echo(f'SavedModel in {saved_model}')
