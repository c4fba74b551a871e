"""`avmae predict` and `avmae embed`: a served model on video files."""

import json
from collections.abc import Iterator

import click

from avmae_tf import console

_clips = click.argument('clips', nargs=-1, required=True, metavar='CLIP...')
_model = click.option(
    '--model', required=True, help='SavedModel, or a folder of numbered versions (the last one).'
)
_MODALITIES = {'has_video': 'video', 'has_audio': 'sound'}


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
def predict(model: str, top: int, as_json: bool, clips: tuple[str, ...]) -> None:
    """Name what video files show and sound like.

    A model of nouns and verbs also names the best actions; a model of events says from which
    second to which it finds each.

    A clip without sound or video is named by the other, and marked. A file that cannot be decoded
    or answered is named with its reason; the exit code is then 1.
    """
    from avmae_tf import api

    served = api.Predictor(model)

    def show(answer):
        if as_json:
            console.echo(json.dumps(answer))
        elif 'error' in answer:
            console.say(answer['error'])
        else:
            for line in lines(answer):
                console.echo(f'{answer["clip"]}  {line}')

    _each(clips, lambda clip: served.predict(clip, top), show)


def _each(clips: tuple[str, ...], ask, show):
    """Shows the answers to all clips; the exit code is 1 if one of them is an error."""
    failed = 0
    for clip in clips:
        answer = ask(clip)
        failed += 'error' in answer
        show(answer)
    if failed:
        raise SystemExit(1)


def lines(answer: dict) -> Iterator[str]:
    """What was found in a clip, a line for each head."""
    missing = [what for key, what in _MODALITIES.items() if not answer[key]]
    mark = f'  (no {", no ".join(missing)})' if missing else ''
    if 'events' in answer:
        spans = (f'{first}-{end} s {label}' for first, end, label in answer['events'])
        yield '  '.join(spans) + mark
        return
    for key, best in answer.items():
        if key.endswith('scores'):
            head = key.removesuffix('scores').replace('_', ': ')
            yield head + '  '.join(f'{label} {score:.3f}' for label, score in best) + mark


@click.command()
@_model
@_clips
def embed(model: str, clips: tuple[str, ...]) -> None:
    """Print the embedding of video files, one JSON object a clip.

    It says what a clip had, or the reason why there is no embedding; the exit code is then 1.
    """
    from avmae_tf import api

    _each(clips, api.Predictor(model).embed, lambda answer: console.echo(json.dumps(answer)))
