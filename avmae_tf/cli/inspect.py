"""`avmae inspect`: what a path holds, or a model would be, in figures and in pictures."""

import json
from collections.abc import Callable
from typing import NamedTuple

import click

from avmae_tf import console
from avmae_tf.storage import is_folder

SHEET_CLIPS = 8


@click.command()
@click.argument('path', required=False)
@click.option(
    '--model',
    help="A model yet to be, by its backbone: 'tiny', 'small', 'base', 'large' or 'huge'.",
)
@click.option('--recipe', help='A model yet to be, by the name of its recipe.')
@click.option(
    '--encoder',
    help="With --model: 'early', 'separate', 'shared', 'mid' (the default), or, with --classes, "
    "'bottleneck' (then the default).",
)
@click.option('--decoder', help="With --model: 'early', 'separate', 'shared' (the default), 'mid'.")
@click.option('--modalities', help="With --model: 'video', 'audio', or both (the default).")
@click.option(
    '--classes', type=click.IntRange(min=2),
    help='With --model or --recipe: the classifier of so many classes, not the autoencoder.',
)  # fmt: skip
@click.option(
    '--set',
    'changes',
    multiple=True,
    metavar='FIELD=VALUE',
    help='With --recipe: change a setting of it.',
)
@click.option(
    '--tpu', 'tpus', multiple=True, metavar='VERSION:SHAPE',
    help="With --recipe: compile its steps with Google's TPU compiler, for cores that share the "
    "batch: 'v5e:2x2', 'v4:2x2x1'. Several times for several.",
)  # fmt: skip
@click.option('--out', help='Write a contact sheet of some clips of records to this PNG.')
@click.option(
    '--clips',
    type=click.IntRange(min=1),
    help=f'With --out: how many clips.  [default: {SHEET_CLIPS}]',
)
@click.option('--json', 'as_json', is_flag=True, help='Print the figures as JSON.')
def inspect(
    path: str | None,
    model: str | None,
    recipe: str | None,
    encoder: str | None,
    decoder: str | None,
    modalities: str | None,
    classes: int | None,
    changes: tuple[str, ...],
    tpus: tuple[str, ...],
    out: str | None,
    clips: int | None,
    as_json: bool,
) -> None:
    """Say what PATH holds, or what the model of --model or --recipe is made of.

    \b
    Records, or one TFRecord file  clips by split, labels, rates, lengths; with --out frames and
                                   spectrograms of clips drawn at random, always the same ones
    Model folder                   layers, parameters, tokens and FLOPs, classes, media
    Folder of a run, checkpoint    how far it is, what is stored; layers as of a model
    SavedModel                     signatures, classes, warm-up requests, media, origin

    FLOPs are counted analytically, a multiplication and an addition as two.

    With --tpu it also says whether the steps of training and of testing compile for a TPU, what
    they need of a core's memory, and how long they take there by the compiler's estimate: minutes
    of CPU time each, and no TPU (docs/tpu.md).
    """
    if sum(map(bool, (path, model, recipe))) != 1:
        raise click.UsageError('give one of PATH, --model and --recipe')
    _need(model, '--model', encoder=encoder, decoder=decoder, modalities=modalities)
    _need(model or recipe, '--model or --recipe', classes=classes)
    _need(recipe, '--recipe', set=changes or None, tpu=tpus or None)
    _need(path, 'a PATH of records', out=out)
    _need(out, '--out', clips=clips)
    if out and is_folder(out):
        raise click.UsageError(f'--out must be a PNG to write, and {out} is a folder')
    if path:
        viewer = viewer_of(path)
        if out and viewer.read is not read_records:
            raise click.UsageError(f'--out needs a PATH of records, and {path} holds none')
        found = read_records(path, out, clips or SHEET_CLIPS) if out else viewer.read(path)
        show = viewer.show
    else:
        from avmae_tf.cli import recipes, tpu
        from avmae_tf.cli.tables import show_model as show
        from avmae_tf.training.summary import summarise

        if model:
            settings = recipes.settings_of(model, encoder, decoder, modalities, classes)
        else:
            settings = recipes.recipe_of(recipe, classes, changes)
        compiled = {'tpu': tpu.compile_recipe(settings, classes, tpus)} if tpus else {}
        found = summarise(settings, {'label': classes} if classes else None) | compiled
    if as_json:
        console.echo(*json.dumps(found, indent=2).split('\n'))
        return
    show(found)
    if out:
        console.echo(f'sheet     {out}')


def _need(there: object, what: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None and not there:
            raise click.UsageError(f'--{name} needs {what}')


class Viewer(NamedTuple):
    """How a kind of path is read, to plain values, and how these are shown."""

    read: Callable[[str], dict]
    show: Callable[[dict], None]


def viewer_of(path: str) -> Viewer:
    """The viewer of what is at `path`; raises ValueError if that is nothing known."""
    from avmae_tf.cli import tables
    from avmae_tf.data import survey
    from avmae_tf.training import inspection
    from avmae_tf.training.export import latest_version

    if inspection.is_model(path):
        return Viewer(inspection.inspect_model, tables.show_model_folder)
    if inspection.is_run(path):
        return Viewer(inspection.inspect_run, tables.show_run)
    if survey.is_records(path):
        return Viewer(read_records, show_records)
    try:
        version = latest_version(path)
    except ValueError:
        raise ValueError(
            f'{path}: neither records, nor a model, a SavedModel, or the folder of a run'
        ) from None
    return Viewer(lambda _: inspection.inspect_saved_model(version), tables.show_saved_model)


def read_records(path: str, out: str | None = None, clips: int = 0) -> dict:
    """The summary of a survey; with `out` also a sheet of some `clips`."""
    from avmae_tf.data.survey import survey

    with console.progress('inspect', 'clips') as report:
        found = survey(path, clips, report)
    if not found.clips:
        raise ValueError(f'{path}: holds no records; make some with `avmae convert`')
    if out:
        from avmae_tf.cli.sheet import draw_sheet

        draw_sheet(found.sample, found.classes, out)
    return {'kind': 'records', **found.summary()}


def show_records(summary: dict) -> None:
    """A survey of records, line by line."""
    from avmae_tf.cli import survey_lines

    console.echo(*survey_lines.lines(summary))
