"""What came of a sweep: all figures as CSV, a table beside the paper's, a plot, and HParams."""

import csv
import io
import json
import os
import statistics
from collections.abc import Iterable
from typing import NamedTuple

from avmae_tf.storage import exists, replaced, write_text
from avmae_tf.sweeps.cells import HOURS, LOSS, Sweep
from avmae_tf.sweeps.runs import Planned, Run
from avmae_tf.sweeps.work import result_of

Row = dict[str, str | float | int | None]
DIVERGED = 'diverged'


class Figure(NamedTuple):
    """The values of a cell over seeds, and the paper's; `note` says why there are none."""

    values: tuple[float, ...]
    paper: float | None
    note: str = ''

    @property
    def text(self) -> str:
        """Mean and standard deviation of the seeds, behind a bar what the paper has."""
        if not self.values:
            ours = self.note or 'not run'
        elif len(self.values) == 1:
            ours = f'{self.values[0]:.2f}'
        else:
            ours = f'{statistics.mean(self.values):.2f} ± {statistics.stdev(self.values):.2f}'
        return ours if self.paper is None else f'{ours} ({self.paper:.1f})'


def value_of(item: Planned, root: str) -> float | str | None:
    """What a cell has for a seed, in the paper's units; a word where a run diverged."""
    result = result_of(root, item.run) if item.run else None
    if result is None or item.run is None:
        return None
    if item.cell.metric == HOURS:
        starts = [result_of(root, before) for before in item.run.before]
        return sum(start['seconds'] for start in starts) / 3600
    if result['diverged']:
        return DIVERGED
    value = result['metrics'].get(item.cell.metric)
    return value if item.cell.metric == LOSS or value is None else 100 * value


def rows(planned: Iterable[Planned], root: str) -> list[Row]:
    """A row for each cell and seed that has a figure."""
    found: list[Row] = []
    for item in planned:
        value = value_of(item, root)
        if value is None or item.run is None:
            continue
        cell = item.cell
        found.append(
            {
                'row': cell.row,
                'column': cell.column,
                'seed': item.seed,
                'metric': cell.metric,
                'value': value,
                'paper': cell.paper,
                'run': item.run.name,
                'seconds': round(result_of(root, item.run)['seconds'], 1),
            }
        )
    return found


def figures(planned: Iterable[Planned], root: str) -> dict[tuple[str, str], Figure]:
    """The figures of a sweep by row and column."""
    found: dict[tuple[str, str], Figure] = {}
    for item in planned:
        key, value = (item.cell.row, item.cell.column), value_of(item, root)
        before = found.get(key, Figure((), item.cell.paper, item.reason))
        if isinstance(value, float):
            before = before._replace(values=(*before.values, value))
        elif value == DIVERGED:
            before = before._replace(note=DIVERGED)
        found[key] = before
    return found


def markdown(sweep: Sweep, found: dict[tuple[str, str], Figure], header: str) -> str:
    """The table, the paper's figures in brackets."""
    columns = list(dict.fromkeys(column for _, column in found))
    lines = [f'# {sweep.title}', '', header, '', f'| | {" | ".join(columns)} |']
    lines.append('|---' * (len(columns) + 1) + '|')
    for row in dict.fromkeys(row for row, _ in found):
        texts = (found[row, column].text if (row, column) in found else '' for column in columns)
        lines.append(f'| {row} | {" | ".join(texts)} |')
    return '\n'.join([*lines, ''])


def as_csv(found: list[Row]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    names = ['row', 'column', 'seed', 'metric', 'value', 'paper', 'run', 'seconds']
    writer = csv.DictWriter(text, names, lineterminator='\n')
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def draw(sweep: Sweep, found: dict[tuple[str, str], Figure], path: str) -> None:
    """A bar for each cell with a mark for each seed, and the paper's figure as a line, to a PNG."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    columns = list(dict.fromkeys(column for _, column in found))
    names = list(dict.fromkeys(row for row, _ in found))
    size = (4.2 * len(columns), 0.8 + 0.45 * len(names))
    plot, axes = plt.subplots(1, len(columns), figsize=size, squeeze=False, sharey=True)
    for axis, column in zip(axes[0], columns, strict=True):
        for place, row in enumerate(names):
            values, paper, _ = found.get((row, column), Figure((), None))
            if values:
                axis.barh(place, statistics.mean(values), color='#cbd2d9', height=0.6)
                axis.plot(values, [place] * len(values), 'o', color='#2f6fbb', markersize=3)
            if paper is not None:
                axis.plot([paper] * 2, [place - 0.35, place + 0.35], color='#d9822b')
        compared = any(found[key].paper is not None for key in found if key[1] == column)
        title = f'{column} (line: paper)' if compared else column
        axis.set_title(title, loc='left', fontsize=9)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.invert_yaxis() if axis is axes[0][0] else None
    plot.tight_layout()
    with replaced(path) as name:
        plot.savefig(name, format='png', dpi=80)
    plt.close(plot)


def write_hparams(planned: Iterable[Planned], root: str, logs: str) -> None:
    """A run of TensorBoard's HParams for each cell and seed: what differs, and the figure."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    for item in planned:
        value = value_of(item, root)
        if not isinstance(value, float) or item.run is None:
            continue
        name = f'{item.cell.row}, {item.cell.column}, seed {item.seed}'.replace('/', ' ')
        folder = os.path.join(logs, name)
        if exists(folder):
            continue
        settings = {'row': item.cell.row, 'column': item.cell.column, 'seed': item.seed}
        with tf.summary.create_file_writer(folder).as_default():
            api.hparams(settings | _differing(item.run), trial_id=name)
            tf.summary.scalar(item.cell.metric, value, step=0)


def _differing(run: Run) -> dict[str, str | float]:
    """The settings that people compare, of a run and of what it starts from."""
    found: dict[str, str | float] = {}
    for each in (*run.before, run):
        config = json.loads(each.config.to_json())
        schedule = config['schedule']
        found |= {f'{each.kind}.{k}': schedule[k] for k in ('learning_rate', 'epochs')}
        for name in ('encoder', 'decoder', 'objective', 'masking', 'fusion', 'modalities'):
            if name in config:
                found[f'{each.kind}.{name}'] = json.dumps(config[name], sort_keys=True)
    return found


def write_report(
    sweep: Sweep, planned: list[Planned], root: str, name: str, header: str
) -> dict[str, str]:
    """Writes CSV, table, plot and HParams of what is done; returns their paths."""
    paths = {kind: os.path.join(root, f'{name}.{kind}') for kind in ('csv', 'md', 'png')}
    found = figures(planned, root)
    write_text(paths['csv'], as_csv(rows(planned, root)))
    write_text(paths['md'], markdown(sweep, found, header))
    draw(sweep, found, paths['png'])
    paths['logs'] = os.path.join(root, 'logs', name)
    write_hparams(planned, root, paths['logs'])
    return paths
