"""`avmae pretrain`, `finetune`, `evaluate`, `export`: the library with options."""

import os
import typing
from typing import Any

import click

from avmae_tf import console
from avmae_tf.config.run import DeviceKind, StrategyKind
from avmae_tf.training import tpu_hosts


def _training_options(command):
    for option in (
        click.option('--data', required=True, help='Folder of records (`avmae convert`).'),
        click.option('--workdir', required=True, help='Checkpoints, logs, and at last the model.'),
        click.option('--recipe', default='mini', show_default=True, help='Name, or a YAML file.'),
        click.option(
            '--set', 'changes', multiple=True, metavar='FIELD=VALUE',
            help='Change a setting of the recipe: --set schedule.epochs=5.',
        ),
        click.option(
            '--steps-per-loop', type=click.IntRange(min=1), metavar='N',
            help='Steps between two looks of the host: progress, scalars, whether loss and '
            'weights are finite, and whether a checkpoint is due.  [default: 50]',
        ),
        click.option(
            '--checkpoint-minutes', type=click.FloatRange(min=0, min_open=True), metavar='MINUTES',
            help='A checkpoint at a look when so much time has passed since the last.  '
            '[default: 5]',
        ),
        click.option(
            '--checkpoint-every-loops', type=click.IntRange(min=1), metavar='N',
            help='A checkpoint every N looks, if not earlier by the clock.  '
            '[default: a tenth of the run]',
        ),
        click.option(
            '--microbatches', type=click.IntRange(min=1), metavar='N',
            help="Parts of a device's batch that are computed one after the other: the memory of "
            'a part, the result of the whole.  [default: 1]',
        ),
        click.option(
            '--profile', 'profile_steps', type=click.IntRange(min=1), metavar='N',
            help='Profile N steps, for TensorBoard (docs/tensorboard.md).',
        ),
        click.option(
            '--pictures/--no-pictures', default=True,
            help='Reconstructions, confusions, wrong clips and the projector for TensorBoard, '
            'beside curves. Those at the end are half of a run that takes a minute.',
        ),
        click.option(
            '--strategy', type=click.Choice(typing.get_args(StrategyKind)),
            help='Insists on how devices and machines work together: the TPU of this host, a slice '
            'of several, several workers (TF_CONFIG), devices of this machine, or one.  '
            '[default: what is there decides]',
        ),
        click.option(
            '--device', type=click.Choice(typing.get_args(DeviceKind)),
            help='Insists on a kind of device, which must be there.  '
            '[default: a TPU, else GPUs, else CPUs]',
        ),
        click.option(
            '--standstill-minutes', type=click.FloatRange(min=0, min_open=True), metavar='MINUTES',
            help='End with exit code 143, which means: run it again, after so long without a '
            'step.  [default: 30]',
        ),
        click.option(
            '--jit/--no-jit', 'jit_compile', default=False, help='Compile the step with XLA.'
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def _train(verb, data: str, workdir: str, run: dict, **settings):
    """Runs `verb` of the library, and shows how it ended."""
    tpu_hosts.join()
    run = {name: value for name, value in run.items() if value is not None}
    with console.progress(verb.__name__, 'steps') as report:
        trained = verb(data, workdir, run=run, progress=report, say=console.say, **settings)
    for name, value in trained.scalars.items():
        console.echo(f'{name:24} {value:.4f}')
    logs = os.path.dirname(trained.logs)  # TensorBoard names a run by its folder below
    console.echo(f'model in {trained.model}; look with: tensorboard --logdir {logs}')


@click.command()
@_training_options
def pretrain(data: str, workdir: str, recipe: str, changes: tuple[str, ...], **run: Any) -> None:
    """Train a masked autoencoder on the clips in DATA; labels are not used.

    A killed run goes on from its last whole checkpoint when it is started again; one that is told
    to end (SIGTERM), or has lost a worker, keeps its last step or checkpoint and stops with exit
    code 143. One whose loss or weights are not finite any more stops with exit code 1 and keeps
    its last good checkpoint.
    """
    from avmae_tf import api
    from avmae_tf.cli import recipes
    from avmae_tf.config import PRETRAIN_RECIPES, PretrainConfig

    config = recipes.read_recipe(recipe, PRETRAIN_RECIPES, changes, PretrainConfig)
    _train(api.pretrain, data, workdir, run, recipe=config)


@click.command()
@click.option(
    '--pretrained', multiple=True,
    help='Model folder of `avmae pretrain` or `avmae finetune`, or an image ViT (augreg .npz); '
    'from scratch without it. Given twice: each modality from the first that knows it.',
)  # fmt: skip
@_training_options
def finetune(
    data: str,
    workdir: str,
    recipe: str,
    changes: tuple[str, ...],
    pretrained: tuple[str, ...],
    **run: Any,
) -> None:
    """Train a classifier on the labelled clips in DATA, from a pretrained encoder.

    A killed run goes on from its last whole checkpoint when it is started again; one that is told
    to end (SIGTERM), or has lost a worker, keeps its last step or checkpoint and stops with exit
    code 143. One whose loss or weights are not finite any more stops with exit code 1 and keeps
    its last good checkpoint.
    """
    from avmae_tf import api
    from avmae_tf.cli import recipes
    from avmae_tf.config import FINETUNE_RECIPES, FinetuneConfig

    config = recipes.read_recipe(recipe, FINETUNE_RECIPES, changes, FinetuneConfig)
    _train(api.finetune, data, workdir, run, recipe=config, start=pretrained)


@click.command()
@click.option('--model', required=True, help='Model folder of `avmae finetune`.')
@click.option('--out', required=True, help='Folder for the SavedModel.')
@click.option('--name', default='avmae', show_default=True, help='Name that it is served under.')
def export(model: str, out: str, name: str) -> None:
    """Write a finetuned model as a SavedModel for TF Serving."""
    from avmae_tf import api

    api.export(model, out, name=name)
    console.echo(f'SavedModel in {out}; look with: saved_model_cli show --dir {out} --all')


@click.command()
@click.option(
    '--model',
    required=True,
    help='SavedModel of `avmae export`, a pushed one, or the model folder of `avmae pretrain`.',
)
@click.option('--data', required=True, help='Folder of records.')
@click.option('--split', default='eval', show_default=True, help='Which split to measure on.')
@click.option('--out', required=True, help='Folder for the report.')
@click.option('--json', 'as_json', is_flag=True, help='Print the metrics as JSON.')
def evaluate(model: str, data: str, split: str, out: str, as_json: bool) -> None:
    """Measure a SavedModel with TensorFlow Model Analysis, or what a pretrained model retrieves.

    One label a clip: Top-1, Top-5, mAP. Several: d' as well. Nouns and verbs: Top-1 and Top-5 of
    each, and action accuracy. Events: Top-1 and Top-5 of every second. Clips without a label are
    left out, and said.

    A pretrained model: how often the sound of a clip finds its picture among those of all clips,
    and the reverse, as recall at 1, 5 and 10. Clips that lack one of the two are left out, and
    said.
    """
    import json
    import math

    from avmae_tf import api
    from avmae_tf.data.labelled import say_left_out
    from components.evaluation.measures import Undefined

    metrics, left_out = api.evaluate(model, data, out, split=split)
    lacks = 'a label' if not any('_recall_at_' in name for name in metrics) else 'sound or picture'
    note = say_left_out(left_out, lacks) if left_out else ''
    width = max(10, *map(len, metrics))
    if as_json:
        for name, value in metrics.items():
            if isinstance(value, Undefined):
                console.say(f'{name:{width}} {value}')
        if note:
            console.say(note)
        console.echo(json.dumps({k: v if math.isfinite(v) else None for k, v in metrics.items()}))
        return
    for name, value in metrics.items():
        console.echo(f'{name:{width}} {value:.4f}')
    if note:
        console.echo(note)
    console.echo(f'report in {out}')
