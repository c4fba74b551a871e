"""`avmae clips` and `avmae convert`: videos, and records made of them."""

import click

from avmae_tf import console
from beam_jobs.datasets import NAMES


@click.command()
@click.argument('out')
@click.option('--train', default=1024, show_default=True, help='Clips to train on.')
@click.option('--eval', 'num_eval', default=256, show_default=True, help='Clips to hold out.')
@click.option('--seed', default=0, show_default=True, help='The same seed gives the same clips.')
def clips(out: str, train: int, num_eval: int, seed: int) -> None:
    """Write generated videos with sound, and their annotations, to OUT.

    Sixteen classes: four shapes times four timbres. The picture alone tells a quarter of the
    label, the sound alone another, both together all of it.
    """
    from avmae_tf.data import synthetic

    with console.progress('clips', 'clips') as report:
        annotations = synthetic.write_clips(
            out, num_train=train, num_eval=num_eval, seed=seed, progress=report
        )
    console.echo(f'{train + num_eval} clips; annotations in {annotations}')


@click.command()
@click.option(
    '--dataset',
    'name',
    type=click.Choice(NAMES),
    default='folder',
    show_default=True,
    help='Whose annotations they are.',
)
@click.option('--videos', required=True, help='Folder of videos; all below it count.')
@click.option(
    '--annotations',
    help='As published: a file, or the folder of several. Of a folder of videos a CSV with the '
    'columns path[,label][,start,end][,split]; without it every video is an unlabelled clip.',
)
@click.option(
    '--allow-outside',
    is_flag=True,
    help='Read files that annotations name outside of VIDEOS: an absolute path, or one with `..`.',
)
@click.option('--subset', help='File of video ids, one a line: train on these alone (AS500K).')
@click.option('--out', help='Folder for the records; a killed job goes on there.')
@click.option(
    '--earlier',
    help='Folder of records of an earlier job, of the same settings: what has not changed since is '
    'taken over.',
)
@click.option('--fps', default=8.0, show_default=True, help='Frames kept of each second.')
@click.option('--min-seconds', default=0.5, show_default=True, help='A shorter clip is set aside.')
@click.option('--side', default=256, show_default=True, help='Shorter side of a frame, pixels.')
@click.option(
    '--shards',
    type=click.IntRange(min=1),
    help='Shards of the largest split; up to 256 MB each if unset.',
)
@click.option(
    '--require',
    type=click.Choice(['both', 'video', 'audio']),
    default='both',
    show_default=True,
    help='What a clip must have; one that lacks it is set aside. Audio alone: .wav, .flac, .mp3 '
    'and so on are found as well.',
)
@click.option(
    '--format',
    'record_format',
    type=click.Choice(['example', 'dmvr']),
    default='example',
    show_default=True,
    help='tf.train.Example, or the SequenceExample of loaders built on DMVR; all of it reads both.',
)
@click.option(
    '--clip-seconds',
    default=60.0,
    show_default=True,
    help='Time to open a file, and for each 10 s of it; a clip that takes longer is set aside.',
)
@click.option('--clip-cpu-seconds', default=30.0, show_default=True, help='The same for CPU time.')
@click.option(
    '--clip-memory-mb',
    default=1024,
    show_default=True,
    help='Memory for decoding a clip; one that takes more is set aside.',
)
@click.option('--runner', help="Beam's runner; threads of this machine if unset.")
@click.option('--dry-run', is_flag=True, help='Report what there is to convert, and stop.')
@click.option('--json', 'as_json', is_flag=True, help='Print the report as JSON.')
@click.argument('beam_options', nargs=-1, type=click.UNPROCESSED)
def convert(
    name: str,
    videos: str,
    annotations: str | None,
    allow_outside: bool,
    subset: str | None,
    out: str | None,
    earlier: str | None,
    fps: float,
    min_seconds: float,
    side: int,
    shards: int | None,
    require: str,
    record_format: str,
    clip_seconds: float,
    clip_cpu_seconds: float,
    clip_memory_mb: int,
    runner: str | None,
    dry_run: bool,
    as_json: bool,
    beam_options: tuple[str, ...],
) -> None:
    """Decode videos into TFRecord examples: JPEG frames and 16 kHz sound.

    First it reports what there is: clips, missing files, hours, labels without examples, videos in
    several splits. A clip that cannot be used is set aside with its reason in OUT/set_aside.csv,
    and the job goes on. Run again after an interruption, it converts only what is missing.

    Options of Apache Beam follow after `--`.
    """
    from avmae_tf import api
    from avmae_tf.cli import manifest_tables
    from avmae_tf.config import MODALITIES, ClipLimits, MediaSpec

    if not (out or dry_run):
        raise click.UsageError('--out is needed, or --dry-run')
    required = MODALITIES if require == 'both' else (require,)
    media = MediaSpec(
        frames_per_second=fps, shorter_side_px=side, required=required, min_seconds=min_seconds
    )
    limits = ClipLimits(
        seconds=clip_seconds, cpu_seconds=clip_cpu_seconds, memory_mb=clip_memory_mb
    )
    source = {'annotations': annotations, 'subset': subset, 'allow_outside': allow_outside}

    def show(promised):
        manifest_tables.show(promised)
        if promised.unread.count:
            names = ', '.join(promised.unread.first)
            console.say(
                f'  skipped {promised.unread.count:,} below {videos} that cannot be read: {names}'
            )

    if dry_run:
        from beam_jobs.datasets import build_manifest
        from beam_jobs.manifest_report import report_of

        promised = report_of(build_manifest(videos, name=name, required=required, **source))
        show(promised)
        if as_json:
            console.echo(*promised.to_json().split('\n'))
        return
    with console.progress('convert', 'clips') as report:
        summary = api.convert(
            videos,
            out,
            dataset=name,
            **source,
            media=media,
            limits=limits,
            num_shards=shards,
            record_format=record_format,
            earlier=earlier,
            runner=runner,
            beam_options=beam_options,
            planned=show,
            progress=report,
        )
    if as_json:
        console.echo(*summary.to_json().split('\n'))
        return
    for row in summary.set_aside:
        console.echo(f'set aside {row["reason"]:12} {row["detail"]}')
    splits = ', '.join(f'{count} {split}' for split, count in sorted(summary.splits.items()))
    console.echo(f'{summary.clips} clips ({splits}) in {out}')
    for line in summary.describe(out):
        console.echo(line)
