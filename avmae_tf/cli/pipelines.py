"""`avmae pipeline`: the TFX pipeline on a runner of your choice, and how it ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from avmae_tf import console
from avmae_tf.cli.failures import DEBUG, EXIT_BAD_INPUT, explain
from avmae_tf.console import Failed

if TYPE_CHECKING:
    from pipeline.nodes import Finished


def run_pipeline(path: str) -> Finished:
    """Runs the pipeline of a YAML file locally and returns how it ended.

    Raises:
        Failed: a component failed, or the gate refused the model.
    """
    from avmae_tf.training import devices

    devices.configure_cpu_devices()
    from pipeline import local_runner
    from pipeline.config import load_config

    config = load_config(path)
    try:
        finished = local_runner.run(config, console.say)
    except Exception as error:
        text, code = explain(error)
        if os.environ.get(DEBUG) or code == EXIT_BAD_INPUT or isinstance(error, Failed):
            raise
        raise Failed(f'the pipeline failed: {text}; see {local_runner.log_path(config)}') from error
    outcome = finished.outcome
    if not outcome.blessed:
        raise Failed(outcome.refusal)
    if config.gate.is_open:
        console.say('the gate has no bounds: every model passes')
    elif config.gate.max_loss_of_top1 is not None and not outcome.compared:
        console.say('the gate had nothing to compare with: no other model has passed it before')
    return finished


@click.group()
def pipeline() -> None:
    """Run the whole pipeline: records, pretraining, finetuning, evaluation, gate, push."""


@pipeline.command()
@click.option('--config', 'path', required=True, help='YAML file of the pipeline.')
@click.option(
    '--runner', type=click.Choice(['local']), default='local', show_default=True,
    help='Where to run it.',
)  # fmt: skip
def run(path: str, runner: str) -> None:
    """Run what the cache does not serve; exit code 1 if the gate refuses the model."""
    from avmae_tf.data.labelled import say_left_out

    outcome = run_pipeline(path).outcome
    for name, value in outcome.metrics.items():
        console.echo(f'{name:10} {"undefined" if value is None else format(value, ".4f")}')
    if outcome.left_out:
        console.echo(say_left_out(outcome.left_out))
    console.echo(f'pushed to {outcome.pushed}')
    console.say(f'report in {outcome.report}')
