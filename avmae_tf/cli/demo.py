"""`avmae demo`: the whole pipeline on generated clips, in minutes."""

import os
import re
import time
from pathlib import Path

import click

from avmae_tf import console

TRAIN_CLIPS, LABELLED_CLIPS, EVAL_CLIPS, UNSEEN_CLIPS, UNSEEN_SEED = 2048, 64, 512, 16, 1
MIN_TOP1 = 3 / 8  # three times chance
PRETRAINER, FINETUNER = 'Pretrainer', 'Finetuner'

SETTINGS = """\
# Written by `avmae demo`, which keeps what you change here.
# Run it again with: avmae pipeline run --config {path}
# Relative paths are below the folder of this file.
name: demo
root: .
data:
  videos: clips
  annotations: clips/annotations.csv
  media: {{frames_per_second: 4, shorter_side_px: 48}}
start: {{pretrain: mini}}
finetune: mini
gate: {{min_top1: {min_top1}}}
run: {{steps_per_loop: 32, checkpoint_every_loops: 4, test_every_loops: 8}}
"""


@click.command()
@click.option(
    '--workdir', default='demo', show_default=True,
    type=click.Path(file_okay=False), help='Everything goes below this folder of this machine.',
)  # fmt: skip
@click.option(
    '--min-top1', default=MIN_TOP1, show_default=True, type=click.FloatRange(0, 1),
    help='The gate: a model below it is not pushed.',
)  # fmt: skip
def demo(workdir: str, min_top1: float) -> None:
    """Generate clips, and take them all the way to a served classifier.

    Videos, records, masked pretraining on all of them, finetuning on the few that have a label,
    evaluation, gate, push; then the pushed model names clips that it has never seen, and the same
    classifier is trained from scratch, to compare. A second run takes from the cache what has not
    changed.
    """
    from avmae_tf.data.locks import held
    from avmae_tf.storage import is_remote

    if is_remote(workdir):
        raise ValueError(f'--workdir must be a folder of this machine, got {workdir}')
    started = time.monotonic()
    workdir = Path(workdir)
    settings = workdir / 'pipeline.yaml'
    others = workdir.is_dir() and any(not path.name.startswith('.') for path in workdir.iterdir())
    if others and not settings.exists():
        raise ValueError(f'--workdir {workdir}: holds other files; give a new or empty folder')
    with held(str(workdir)):
        if is_edited(settings):
            source = click.get_current_context().get_parameter_source('min_top1')
            if source is not click.core.ParameterSource.DEFAULT:
                raise ValueError(f'--min-top1: {settings} was edited; set its gate.min_top1')
            console.say(f'{settings} was edited and is kept')
        else:
            settings.write_text(SETTINGS.format(path=settings, min_top1=min_top1))
        _demo(workdir, settings, started)


def is_edited(settings: Path) -> bool:
    """Whether the file is there, and is not as some `avmae demo` wrote it."""
    if not settings.exists():
        return False
    found = settings.read_text(errors='replace')
    fields = (re.escape(part) for part in SETTINGS.format(path='\0', min_top1='\0').split('\0'))
    return not re.fullmatch('.*'.join(fields), found)


def _demo(workdir: Path, settings: Path, started: float):
    from avmae_tf.data import synthetic
    from avmae_tf.data.emblems import EmblemStyle

    console.say('Generated clips', heading=True)
    with console.progress('clips', 'clips') as report:
        synthetic.write_clips(
            workdir / 'clips',
            num_train=TRAIN_CLIPS,
            num_eval=EVAL_CLIPS,
            num_labelled=LABELLED_CLIPS,
            style=EmblemStyle(),
            progress=report,
        )
    unseen = workdir / 'unseen'
    synthetic.write_clips(
        unseen, num_train=0, num_eval=UNSEEN_CLIPS, seed=UNSEEN_SEED, style=EmblemStyle()
    )
    clip_seconds = time.monotonic() - started

    from avmae_tf.cli.pipelines import run_pipeline

    finished = run_pipeline(str(settings))
    outcome = finished.outcome
    pictures = _draw(finished, workdir)
    console.say('Unseen clips through the pushed model', heading=True)
    _predict(outcome.pushed, unseen)
    scratch = _from_scratch(finished, settings, workdir / 'work')
    _table(finished, scratch, clip_seconds)
    console.say(
        '',
        f'pictures    {"  ".join(pictures)}',
        f'pushed      {outcome.pushed}',
        f'report      {outcome.report}',
        f'look        tensorboard --logdir {workdir / "work/logs"}',
        f'again       avmae pipeline run --config {settings}',
        f'done in {time.monotonic() - started:.0f} s; everything is in {workdir}',
    )


def _from_scratch(finished, settings: Path, work_dir: Path) -> tuple[float, float] | None:
    """Top-1 and seconds of the classifier of a run that had a pretraining, without it.

    In a folder of its settings, as the pipeline's trainings are: other settings are another run.
    """
    if not any(node.name == PRETRAINER for node in finished.nodes):
        return None
    from avmae_tf.training import runs
    from pipeline.config import load_config

    console.say('The same classifier from scratch', heading=True)
    config, started = load_config(str(settings)), time.monotonic()
    with console.progress('finetune', 'steps') as report:
        training = runs.finetuning(finished.output('Examples').uri, config.finetune, ())
        trained = training.run_below(
            os.fspath(work_dir), config.run, progress=report, say=console.say
        )
    return trained.scalars['top1'], time.monotonic() - started


def _draw(finished, workdir: Path) -> list[str]:
    """The pictures of a run, of its pretraining only where it has one; returns their paths."""
    from avmae_tf.cli import figures
    from avmae_tf.data.dataset import load_dataset

    logs = {
        node.name: node.outputs['Model'].custom_properties['logs'].string_value
        for node in finished.nodes
        if node.name in (PRETRAINER, FINETUNER)
    }
    classes = load_dataset(finished.output('Examples').uri).classes
    losses, reconstructions, confusion = (
        str(workdir / f'{name}.png')
        for name in ('loss_curves', 'reconstructions', 'confusion_matrix')
    )
    figures.draw_losses(logs, losses)
    matrix = figures.confusion_matrix(finished.outcome.report, len(classes))
    figures.draw_confusion(matrix, classes, confusion)
    if PRETRAINER not in logs:
        return [losses, confusion]
    figures.draw_reconstructions(logs[PRETRAINER], reconstructions)
    return [losses, reconstructions, confusion]


def _predict(model: str, folder: Path, shown: int = 4):
    """Names every clip of `folder`; says what it named the first few and how many were right."""
    import csv

    from avmae_tf import api

    served = api.Predictor(model)
    with open(folder / 'annotations.csv', newline='') as f:
        rows = list(csv.DictReader(f))
    right = 0
    for i, row in enumerate(rows):
        answer = served.predict(os.fspath(folder / row['path']), top=1)
        label, score = answer['scores'][0]
        right += label == row['label']
        if i < shown:
            console.say(f'  {row["path"]}: {label} {score:.2f}')
    console.say(f'  {right} of {len(rows)} right')


def _table(finished, scratch: tuple[float, float] | None, clip_seconds: float):
    """What was measured beside what it is worth without pretraining and without learning."""
    from rich.table import Table

    from avmae_tf.data.emblems import CLASSES

    metrics, chance = finished.outcome.metrics, f'{1 / len(CLASSES):.3f}'
    results = Table('measured on held-out clips', 'value', 'from scratch', 'without learning')
    alone = f'{scratch[0]:.3f}' if scratch else ''
    results.add_row('Top-1 accuracy', f'{metrics["top1"]:.3f}', alone, chance)
    results.add_row('mean average precision', f'{metrics["map"]:.3f}', '', chance)
    for node in finished.nodes:
        if node.name == PRETRAINER:
            found = node.outputs['Model'].custom_properties
            loss, mean = (f'{found[name].double_value:.3f}' for name in ('loss', 'mean_patch_loss'))
            results.add_row('reconstruction error', loss, '', mean)
    stages = Table('stage', 'seconds')
    stages.add_row('Generated clips', f'{clip_seconds:.1f}')
    for node in finished.nodes:
        stages.add_row(node.name, 'cached' if node.cached else f'{node.seconds:.1f}')
    if scratch:
        stages.add_row('from scratch', f'{scratch[1]:.1f}')
    screen = console.screen()
    screen.print(console.safe(results))
    screen.print(console.safe(stages))
