"""`avmae pipeline`: the TFX pipeline here, on Kubeflow or on Vertex AI, and how it ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from avmae_tf import console
from avmae_tf.cli import engines, schedules
from avmae_tf.cli.failures import DEBUG, EXIT_BAD_INPUT, explain
from avmae_tf.console import Failed
from pipeline.targets import LOCAL

if TYPE_CHECKING:
    from pipeline.nodes import Finished


def run_pipeline(path: str, changes: Sequence[str] = ()) -> Finished:
    """Runs the pipeline of a YAML file locally and returns how it ended.

    Args:
        path: The file.
        changes: `name=value` of runtime parameters that this run has otherwise.

    Raises:
        Failed: a component failed, or the gate refused the model.
    """
    from avmae_tf.training import devices

    devices.configure_cpu_devices()
    from pipeline import local_runner
    from pipeline.config import load_config
    from pipeline.parameters import read_parameters

    config = load_config(path)
    parameters = read_parameters(config, LOCAL, changes)
    try:
        finished = local_runner.run(config, console.say, parameters)
    except Exception as error:
        text, code = explain(error)
        if os.environ.get(DEBUG) or code == EXIT_BAD_INPUT or isinstance(error, Failed):
            raise
        raise Failed(f'the pipeline failed: {text}; see {local_runner.log_path(config)}') from error
    engines.judge(config, parameters, finished.outcome)
    return finished


@click.group()
def pipeline() -> None:
    """Run the whole pipeline: records, pretraining, finetuning, evaluation, gate, push.

    One YAML file says what it does, and where: on this machine (local), on Kubeflow Pipelines or
    on Vertex AI. The graph is the same everywhere, and so are the exit codes: 0 a model was
    pushed, 1 the run failed or its model did not pass the gate, 2 the file or an option is wrong.

    \b
    Here:            avmae pipeline run --config FILE
    On an engine:    avmae pipeline run --config FILE --target vertex
    Without waiting: avmae pipeline submit --config FILE --target vertex
    Every Monday:    avmae pipeline schedule create --config FILE --target vertex \\
                         --cron '0 3 * * 1'
    """


@pipeline.command(name='compile')
@engines.file_option
@engines.target_option
@click.option('--out', required=True, help='Folder that the file is written to.')
def compile_(path: str, target: str, out: str) -> None:
    """Write the graph as the file that an engine takes: YAML for Kubeflow, JSON for Vertex AI.

    It needs no network, no credentials and no videos, and the same settings give the same bytes:
    made by a build, the file tells a reviewer what a change does.
    """
    from pipeline.compiler import compile_to
    from pipeline.config import load_config

    console.echo(f'written to {compile_to(load_config(path), target, out)}')


@pipeline.command()
@engines.file_option
@engines.target_option
@engines.set_option
def run(path: str, target: str, changes: tuple[str, ...]) -> None:
    """Run what the cache does not serve, wait for it, and say how it ended.

    Exit code 1 if it fails or the gate refuses the model. On an engine the run goes on when this
    command is stopped.
    """
    if target == LOCAL:
        engines.show_outcome(run_pipeline(path, changes).outcome)
        return
    sent = engines.send(path, target, changes)
    console.say(sent.run.address)
    engines.show_outcome(engines.follow(sent))


pipeline.add_command(engines.submit)
pipeline.add_command(engines.status)
pipeline.add_command(schedules.schedule)
