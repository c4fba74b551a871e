"""Compiles recipes with Google's TPU compiler and writes tpu.csv, and from it the tables of tpu.md.

    python docs/tpu_table.py [pretrain/RECIPE ...] [--tpu VERSION ...] [--precision P ...]
    python docs/tpu_table.py --page         # compiles nothing

Of every recipe, in either precision, with and without rematerialising, it finds the largest power
of two of clips a core whose training step fits, and compiles the test step for it. Every row is
written as soon as it is made, and one that tpu.csv has is not made again: what is killed goes on,
and rows that are to be made anew are deleted first.
"""

import argparse
import dataclasses
import functools
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tpu_rows import (
    NUM_CLIPS,
    PRECISIONS,
    Case,
    Row,
    data_set,
    largest,
    read,
    recipes,
    wanted,
    write,
)

from avmae_tf import console
from avmae_tf.config import splits
from avmae_tf.tpu import chips, compiler, fitting

if TYPE_CHECKING:
    from avmae_tf.tpu.lowering import Lowered

PAGE = Path(__file__).with_name('tpu.md')


@functools.lru_cache(16)  # of the versions that a case is compiled for
def lower(case: Case, clips: int, step: str) -> 'Lowered':
    from avmae_tf.tpu import lowering  # TensorFlow: not for the page alone

    console.say(f'tracing the {step} step of {case} with {clips} clips')
    (lowered,) = lowering.lowered(case.of_core(clips), case.classes, [step])
    return lowered


def fill(
    case: Case,
    version: str,
    rows: list[Row],
    *,
    steps: list[str],
    only: int | None,
    first: int,
    quick: bool,
) -> Iterator[Row]:
    """The rows that `case` lacks for a version: of the most clips that have room, and on the way.

    `first` is a guess of how many those are; of `only` so many clips, if any, whatever has room.
    """
    topology = chips.smallest(version)

    def following() -> int:
        if not only:
            return wanted(case, version, rows, topology.chip.memory_gib, first)
        tried = {r.clips for r in rows if (r.case, r.version) == (case, version)}
        return 0 if only in tried else only

    def compiled(step: str, clips: int) -> Row:
        lowered = lower(case, clips, step)
        console.say(f'compiling it for {topology.name}')
        found = compiler.compile_step(
            lowered, topology, case.of_core(clips), case.classes, quick=quick
        )
        about = dataclasses.asdict(case)
        return Row(**found.model_dump(), **about, version=version, code=code())

    while clips := following():
        yield compiled(splits.TRAIN, clips)
    mine = [row for row in rows if (row.case, row.version) == (case, version)]
    fit = largest(mine)
    tested = {row.clips for row in mine if row.step == splits.EVAL}
    if fit and splits.EVAL in steps and fit.clips not in tested:
        yield compiled(splits.EVAL, fit.clips)


def code() -> str:
    """The last commit of what is compiled, with a + where it has changed since."""

    def git(*arguments: str) -> str:
        command = ['git', *arguments, '--', compiler.ROOT / 'avmae_tf']
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    return git('log', '-1', '--format=%h') + '+' * bool(git('status', '--porcelain'))


def cell(value: float, unpriced: int, unit: str = '') -> str:
    return f'{"≥ " if unpriced else ""}{value:.3g}{unit}'


def overview(rows: list[Row]) -> list[str]:
    """A row for each recipe: the most clips a core, and cores for its batch, by version."""
    lines = [
        f'| recipe | batch | {" | ".join(chips.CHIPS)} |',
        '|---' * (2 + len(chips.CHIPS)) + '|',
    ]
    for first, names in recipes().items():
        batch, cells = Case(first, 'float32', False).config.schedule.batch_size, []
        for version in chips.CHIPS:
            here = [r for r in rows if (r.recipe, r.version) == (first, version)]
            fit = largest(here)
            if not fit:
                cells.append('none fits' if here else 'not run')
                continue
            more = wanted(fit.case, version, rows, chips.CHIPS[version].memory_gib)
            at_least, at_most = ('≥ ', '≤ ') if more else ('', '')
            cells.append(f'{at_least}{fit.clips} → {at_most}{-(-batch // fit.clips)}')
        lines.append(f'| {", ".join(f"`{n}`" for n in names)} | {batch} | {" | ".join(cells)} |')
    return lines


def details(rows: list[Row]) -> list[str]:
    """A row for each way to train a recipe that was compiled for a version."""
    titles = ('recipe', 'TPU', 'precision', 're&shy;materi&shy;alised', 'clips a core', 'peak GiB',
              'of a test', 'ms', 'of peak', 'CPU s', 'compiler GiB', 'cores', 'days')  # fmt: skip
    lines = [f'| {" | ".join(titles)} |', '|---' * len(titles) + '|']
    started = {(row.recipe, row.version) for row in rows}
    for recipe, version, precision, again in itertools.product(
        recipes(), chips.CHIPS, PRECISIONS, (False, True)
    ):
        if (recipe, version) not in started:
            continue
        case = Case(recipe, precision, again)
        about = (f'`{recipe}`', version, precision.removeprefix('mixed_'), 'yes' if again else '')
        mine = [row for row in rows if (row.case, row.version) == (case, version)]
        figures = of_largest(case, mine) if mine else ['not run', *[''] * 8]
        lines.append(f'| {" | ".join((*about, *figures))} |')
    return lines


def of_largest(case: Case, rows: list[Row]) -> list[str]:
    """Figures of the largest batch that fits, or why none does."""
    fit = largest(rows)
    if not fit:
        last = min(rows, key=lambda row: row.clips)
        return [f'{last.clips}: {last.outcome} {last.reason}'.strip(), *[''] * 8]
    test = next((r for r in rows if (r.step, r.clips) == (splits.EVAL, fit.clips)), None)
    tested = (f'{test.peak_gib:.1f}' if test.peak_gib else test.outcome) if test else 'not run'
    cores = -(-case.config.schedule.batch_size // fit.clips)
    milliseconds = '' if fit.quick else cell(fit.milliseconds, fit.unpriced)
    share = '' if fit.quick else f'{"≤ " if fit.unpriced else ""}{fit.share_of_peak:.0%}'
    compiler_gib = f'{fit.compiler_gib:.1f}' if fit.compiler_gib else ''
    return [f'{fit.clips}', f'{fit.peak_gib:.1f}', tested, milliseconds, share,
            f'{fit.cpu_seconds:.0f}{" quick" * fit.quick}', compiler_gib, f'{cores}',
            days(case, fit)]  # fmt: skip


def days(case: Case, row: Row) -> str:
    """Of the paper's pretraining, all cores at `row`'s clips: computing alone."""
    clips, schedule = NUM_CLIPS.get(data_set(case.recipe)), case.config.schedule
    if not clips or row.quick or case.recipe.startswith('finetune'):
        return ''
    seconds = schedule.steps(schedule.epochs, clips) * row.milliseconds / 1e3
    return cell(seconds / 86400, row.unpriced)


def page(text: str, rows: list[Row]) -> str:
    """`tpu.md` with its tables made anew."""
    for name, lines in (('overview', overview(rows)), ('details', details(rows))):
        begin, end = f'<!-- {name} -->\n', f'<!-- end of {name} -->'
        before, rest = text.split(begin)
        text = ''.join((before, begin, *(f'{line}\n' for line in lines), end, rest.split(end)[1]))
    return text


def main() -> None:
    console.quiet()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('recipes', nargs='*', default=[], help='all without any')
    parser.add_argument('--tpu', nargs='*', default=list(chips.CHIPS), choices=list(chips.CHIPS))
    parser.add_argument('--precision', nargs='*', default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument('--rematerialise', nargs='*', default=('no', 'yes'), choices=('no', 'yes'))
    parser.add_argument('--step', nargs='*', default=splits.USED, choices=splits.USED)
    parser.add_argument('--clips', type=int, help='a core, without looking for the most')
    parser.add_argument('--quick', action='store_true', help='with the least effort: not priced')
    parser.add_argument('--page', action='store_true', help='write the page from what there is')
    args = parser.parse_args()
    rows, known = read(), recipes()
    if unknown := set(args.recipes) - set(known):
        parser.error(f'no such recipe, or one that another stands for: {sorted(unknown)}')
    first = fitting.FIRST
    for recipe, precision, again in itertools.product(
        [] if args.page else args.recipes or known, args.precision, args.rematerialise
    ):
        for version in args.tpu:
            case = Case(recipe, precision, again == 'yes')
            settings = {'steps': args.step, 'only': args.clips, 'quick': args.quick}
            for row in fill(case, version, rows, first=first, **settings):
                rows.append(row)
                write(rows)
                first = row.clips if row.outcome == 'compiles' else first
    PAGE.write_text(page(PAGE.read_text(), rows))


if __name__ == '__main__':
    main()
