"""`avmae clips` and `avmae convert`: videos, and records made of them."""

from pathlib import Path

import click

from avmae_tf import console


@click.command()
@click.argument('out', type=click.Path(file_okay=False, path_type=Path))
@click.option('--train', default=1024, show_default=True, help='Clips to train on.')
@click.option('--eval', 'num_eval', default=256, show_default=True, help='Clips to hold out.')
@click.option('--seed', default=0, show_default=True, help='The same seed gives the same clips.')
def clips(out: Path, train: int, num_eval: int, seed: int):
    """Write generated videos with sound, and their annotations, to OUT.

    Sixteen classes: four shapes times four timbres. The picture alone tells a quarter of the
    label, the sound alone another, both together all of it.
    """
    from avmae_tf.data import synthetic

    with console.progress('clips', 'clips') as report:
        annotations = synthetic.write_clips(
            out, num_train=train, num_eval=num_eval, seed=seed, progress=report
        )
    click.echo(f'{train + num_eval} clips; annotations in {annotations}')


@click.command()
@click.option('--videos', required=True, help='Folder of videos; all below it count.')
@click.option(
    '--annotations',
    help='CSV with the columns path[,label][,start,end][,split]; without it every video is an '
    'unlabelled clip.',
)
@click.option('--out', required=True, help='Folder for the records; a killed job goes on there.')
@click.option('--fps', default=8.0, show_default=True, help='Frames kept of each second.')
@click.option('--side', default=256, show_default=True, help='Shorter side of a frame, pixels.')
@click.option('--shards', type=int, help='Shards of the largest split; about 256 MB each if unset.')
@click.option(
    '--require',
    type=click.Choice(['both', 'video', 'audio']),
    default='both',
    show_default=True,
    help='What a clip must have; one that lacks it is set aside.',
)
@click.option('--json', 'as_json', is_flag=True, help='Print the report as JSON.')
def convert(videos, annotations, out, fps, side, shards, require, as_json):
    """Decode videos into TFRecord examples: JPEG frames and 16 kHz sound.

    A clip that cannot be used is set aside with its reason in OUT/set_aside.csv, and the job goes
    on. Run again after an interruption, it converts only what is missing.
    """
    from avmae_tf.config import MODALITIES, MediaSpec
    from beam_jobs.convert import SET_ASIDE_FILE
    from beam_jobs.convert import convert as convert_manifest
    from beam_jobs.manifests import plan_folder

    required = MODALITIES if require == 'both' else (require,)
    media = MediaSpec(frames_per_second=fps, shorter_side_px=side, required=required)
    with console.progress('convert', 'clips') as report:
        summary = convert_manifest(
            plan_folder(videos, annotations), out, media, num_shards=shards, progress=report
        )
    if as_json:
        click.echo(summary.to_json())
        return
    for row in summary.set_aside:
        click.echo(f'set aside {row["reason"]:12} {row["detail"]}')
    splits = ', '.join(f'{count} {split}' for split, count in sorted(summary.splits.items()))
    click.echo(f'{summary.clips} clips ({splits}) in {out}')
    if summary.set_aside:
        click.echo(f'{len(summary.set_aside)} set aside; reasons in {out}/{SET_ASIDE_FILE}')
