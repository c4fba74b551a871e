"""All that the user sees: lines, tables, progress, and imports that stay quiet.

Names of files and labels are whatever somebody called them, so that every line and cell goes
through `escaped` here: a terminal obeys control characters.
"""

import atexit
import contextlib
import datetime
import gc
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import click

LINE_SECONDS = 10.0  # between two lines of progress where there is no terminal
# Controls (C0, C1), what turns the direction of a text around or has no width, line separators,
# and halves of characters; but for the joiners that scripts and emoji need.
_UNSAFE = re.compile(
    '[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff'
    '\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]'
)

# What TensorFlow tells its developers in a message.
NOISE = re.compile(r'\{\{.*?\}\} ?| \[Op:\w+\]')

Report = Callable[..., None]  # report(done, total, **figures)


class Failed(Exception):
    """A run failed or was refused: its message is the last line."""

    exit_code = 1


def quiet() -> None:
    """Keeps the start-up notes of the libraries off the terminal; call before importing them."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('GRPC_VERBOSITY', 'ERROR')
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
    warnings.filterwarnings('ignore')
    logging.raiseExceptions = False  # no note for each line of a log on a full disk
    for name in ('absl', 'tensorflow'):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger('apache_beam').setLevel(logging.CRITICAL)  # errors are raised, too


def quick() -> None:
    """Spares short commands a quarter of their time; call before importing the libraries.

    They make a million objects that all stay, and each look for garbage goes through them: it is
    looked for seldom, and not at the end.
    """
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


def escaped(text: str) -> str:
    r"""The text as one line that a terminal shows and does not obey: escape becomes `\x1b`."""
    return _UNSAFE.sub(lambda found: found[0].encode('unicode_escape').decode(), str(text))


def echo(*lines: str) -> None:
    """Results, each argument a line of standard output."""
    for line in lines:
        click.echo(escaped(line))


def say(*lines: str, heading: bool = False) -> None:
    """Lines for the user on standard error; results go to standard output."""
    for line in lines:
        click.secho(escaped(line), bold=heading, err=True)


def screen(*, stderr: bool = False, **settings: Any) -> Any:
    """A console of rich for tables that `safe` has made."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, **settings)


def safe(table: Any) -> Any:
    """A table of rich whose cells and titles are shown as they are."""
    for column in table.columns:
        column.header = escaped(column.header)
        column._cells = [escaped(cell) for cell in column._cells]
    return table


def _figures(figures: dict[str, float]) -> str:
    return '  '.join(f'{name} {value:.4g}' for name, value in figures.items())


@contextlib.contextmanager
def progress(label: str, unit: str) -> Iterator[Report]:
    """A bar on a terminal, a line every ten seconds elsewhere; both on standard error."""
    if not sys.stderr.isatty():
        yield _lines(label, unit)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(f'  {label}'),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(f'{unit}  {{task.fields[figures]}}'),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, figures='')

        def report(done: int, total: int, **figures: float):
            bar.update(task, completed=done, total=total, figures=_figures(figures))

        yield report


def _lines(label: str, unit: str) -> Report:
    start = last = time.monotonic()

    def report(done: int, total: int, **figures: float):
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_SECONDS and done < total:
            return
        last = now
        rate = done / max(now - start, 1e-9)
        seconds = round((total - done) / rate) if done else 0
        left = f'  {datetime.timedelta(seconds=seconds)} left' if seconds else ''
        say(f'  {label} {done}/{total} {unit}  {_figures(figures)}  {rate:.1f} {unit}/s{left}')

    return report
