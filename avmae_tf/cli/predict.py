"""`avmae predict` and `avmae embed`: a served model on video files."""

import json
from collections.abc import Iterator

import click

from avmae_tf import console

_clips = click.argument('clips', nargs=-1, required=True, metavar='CLIP...')
_model = click.option(
    '--model', required=True, help='SavedModel, or a folder of numbered versions (the last one).'
)


@click.command()
@_model
@click.option(
    '--top',
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help='How many labels to show of each clip.',
)
@click.option('--json', 'as_json', is_flag=True, help='Print one JSON object a clip.')
@_clips
def predict(model, top, as_json, clips):
    """Name what video files show and sound like.

    A model of nouns and verbs also names the best actions; a model of events says from which
    second to which it finds each.

    A file that cannot be decoded is named with its reason; the exit code is then 1.
    """
    from avmae_tf.cli.served import ServedModel

    served = ServedModel(model)
    failed = 0
    for clip in clips:
        answer = served.predict(clip, top)
        failed += 'error' in answer
        if as_json:
            console.echo(json.dumps(answer))
        elif 'error' in answer:
            console.say(answer['error'])
        else:
            for line in lines(answer):
                console.echo(f'{clip}  {line}')
    if failed:
        raise SystemExit(1)


def lines(answer: dict) -> Iterator[str]:
    """What was found in a clip, a line for each head."""
    if 'events' in answer:
        yield '  '.join(f'{first}-{end} s {label}' for first, end, label in answer['events'])
        return
    for key, best in answer.items():
        if key != 'clip':
            head = key.removesuffix('scores').replace('_', ': ')
            yield head + '  '.join(f'{label} {score:.3f}' for label, score in best)


@click.command()
@_model
@_clips
def embed(model, clips):
    """Print the embedding of video files, one JSON object a clip."""
    from avmae_tf.cli.served import ServedModel

    served = ServedModel(model)
    failed = 0
    for clip in clips:
        answer = served.embed(clip)
        failed += 'error' in answer
        console.echo(json.dumps(answer))
    if failed:
        raise SystemExit(1)
