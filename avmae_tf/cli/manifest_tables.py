"""The report on a manifest as tables."""

from avmae_tf import console
from beam_jobs.manifest_report import Listed, ManifestReport
from beam_jobs.videos import AUDIO_SUFFIXES

SUFFIXES = 5  # so many are listed


def show(report: ManifestReport) -> None:
    """Tables on standard error: clips by split, and what to look at before the work starts."""
    from rich.padding import Padding
    from rich.table import Table

    splits = Table('split', *_right('clips', 'found', 'missing', 'hours'), box=None)
    for name, split in report.splits.items():
        missing = split.clips - split.found
        splits.add_row(
            name, f'{split.clips:,}', f'{split.found:,}', f'{missing:,}', f'{split.hours:,.2f}'
        )
    notes = Table(box=None, show_header=False)
    for name, text in _notes(report):
        notes.add_row(name, text)
    screen = console.screen(stderr=True, soft_wrap=True)
    for table in (splits, notes):
        screen.print(Padding(console.safe(table), (0, 0, 0, 1)))


def _right(*names: str):
    from rich.table import Column

    return [Column(name, justify='right') for name in names]


def _notes(report: ManifestReport):
    yield 'videos found', f'{report.files:,}'
    yield 'records', f'about {report.record_gigabytes:,.2f} GB'
    if report.missing.count:
        yield 'videos missing', _some(report.missing)
    sounds = {suffix: n for suffix, n in report.skipped.items() if suffix in AUDIO_SUFFIXES}
    if sounds:
        yield 'no videos', f'{_counts(sounds)}; with --require audio they are read'
    if others := {suffix: n for suffix, n in report.skipped.items() if suffix not in sounds}:
        yield 'other files', _counts(others)
    if report.without_times:
        yield 'clips without times', f'{report.without_times:,} (not in the hours)'
    if report.named_twice:
        yield 'clips named twice', f'{report.named_twice:,} (converted once)'
    if report.in_several_splits.count:
        yield 'videos in several splits', _some(report.in_several_splits)
    for head, count in report.classes.items():
        empty = report.without_examples[head]
        rest = f'; without an example to train on: {_some(empty)}' if empty.count else ''
        yield f'classes of {head}', f'{count:,}{rest}'


def _counts(by_suffix: dict[str, int]) -> str:
    counts = [f'{n:,} {suffix or "without suffix"}' for suffix, n in by_suffix.items()]
    return ', '.join(counts[:SUFFIXES]) + (', ...' if len(counts) > SUFFIXES else '')


def _some(listed: Listed) -> str:
    names = ', '.join(listed.first[:3])
    return f'{listed.count:,} ({names}{", ..." if listed.count > 3 else ""})'
