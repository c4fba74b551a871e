"""What the user sees: quiet imports, progress, and nothing else unasked."""

import contextlib
import datetime
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator

LINE_SECONDS = 10.0  # between two lines of progress where there is no terminal

Report = Callable[..., None]  # report(done, total, **figures)


def quiet():
    """Keeps the start-up notes of the libraries off the terminal; call before importing them."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('GRPC_VERBOSITY', 'ERROR')
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
    warnings.filterwarnings('ignore')
    for name in ('absl', 'tensorflow'):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger('apache_beam').setLevel(logging.CRITICAL)  # errors are raised, too


def say(text: str, *, heading: bool = False):
    """A line for the user on standard error; results go to standard output."""
    from rich.console import Console

    screen = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    screen.print(text, style='bold' if heading else None)


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
        print(
            f'  {label} {done}/{total} {unit}  {_figures(figures)}  {rate:.1f} {unit}/s{left}',
            file=sys.stderr,
            flush=True,
        )

    return report
