"""Runs the benchmarks named, or all that take minutes, and prints one table."""

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

from avmae_tf import console

console.quiet()

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import benchmarks  # noqa: E402
from benchmarks.measure import Comparison  # noqa: E402

NOT_SUBJECTS = {'__main__', 'measure'}
IF_NAMED = {'weeks'}  # takes a quarter of an hour


def names() -> list[str]:
    """The modules of this folder that have a `compare_all`."""
    found = {module.name for module in pkgutil.iter_modules(benchmarks.__path__)}
    return sorted(found - NOT_SUBJECTS)


def table(rows: list[Comparison]) -> Table:
    result = Table('subject', 'compared with', title='medians')
    for column in ('subject', 'reference', 'ratio', 'at most'):
        result.add_column(column, justify='right')
    for row in rows:
        result.add_row(
            row.subject,
            f'{row.reference}, a {row.unit}',
            f'{row.scale * row.subject_value:.2f} {row.quantity}',
            f'{row.scale * row.reference_value:.2f} {row.quantity}',
            f'[{"green" if row.met else "red"}]{row.ratio:.2f}[/]',
            f'{row.target:.2f}',
        )
    return result


def main():
    chosen = sys.argv[1:] or sorted({*names()} - IF_NAMED)
    if unknown := set(chosen) - set(names()):
        sys.exit(f'benchmark must be one of {names()}, got {sorted(unknown)}')
    rows = []
    for name in chosen:
        console.say(name)
        with tempfile.TemporaryDirectory(prefix='avmae-bench-') as folder:
            rows += importlib.import_module(f'benchmarks.{name}').compare_all(Path(folder))
    Console(width=130).print(table(rows))


if __name__ == '__main__':
    main()
