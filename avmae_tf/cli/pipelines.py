"""`avmae pipeline`: the TFX pipeline on a runner of your choice."""

import click

from avmae_tf import console


@click.group()
def pipeline():
    """Run the whole pipeline: records, pretraining, finetuning, evaluation, gate, push."""


@pipeline.command()
@click.option('--config', 'path', required=True, help='YAML file of the pipeline.')
@click.option(
    '--runner', type=click.Choice(['local']), default='local', show_default=True,
    help='Where to run it.',
)  # fmt: skip
def run(path, runner):
    """Run what the cache does not serve; exit code 1 if the gate refuses the model."""
    from avmae_tf.cli.runs import run_pipeline
    from avmae_tf.data.labelled import say_left_out

    outcome = run_pipeline(path)
    for name, value in outcome.metrics().items():
        console.echo(f'{name:10} {value:.4f}')
    if left_out := outcome.left_out():
        console.echo(say_left_out(left_out))
    console.echo(f'pushed to {outcome.pushed}')
    console.say(f'report in {outcome.report}')
