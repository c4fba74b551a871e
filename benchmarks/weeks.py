"""A pipeline that runs every week: 20 weeks of a growing collection, three of them with trouble.

Each week clips come. In one the labels are bad, in one the gate is raised, in one training is
killed and the run started again. Each week converts only what is new; 18 versions are pushed.
"""

import csv
import dataclasses
import glob
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Comparison

BAD_LABELS, HIGH_GATE, KILLED = 'bad labels', 'high gate', 'killed in training'
NAME, CLIPS, LABELS = 'weekly', 'clips', 'labels.csv'
FIRST, ADDED, HELD_OUT = (
    12,
    3,
    4,
)  # clips of the first week, of each other; every fourth is held out


@dataclasses.dataclass(frozen=True)
class Week:
    """What happens in a week."""

    added: int = ADDED
    changed: int = 0
    trouble: str = ''


TWENTY = tuple(
    Week(
        added=ADDED if number else FIRST,
        changed=int(number % 5 == 2),
        trouble={6: BAD_LABELS, 11: HIGH_GATE, 14: KILLED}.get(number, ''),
    )
    for number in range(20)
)


@dataclasses.dataclass(frozen=True)
class Report:
    """How a week ended."""

    week: Week
    clips: int
    converted: int = 0
    taken_over: int = 0
    top1: float | None = None
    version: str = ''
    refusal: str = ''


class Collection:
    """Clips that come and change, and their labels; all are drawn when it is built."""

    def __init__(self, folder: Path, count: int) -> None:
        from avmae_tf.data import synthetic

        style = synthetic.ClipStyle(size_px=32, seconds=1.0)
        drawn = Path(
            synthetic.write_clips(folder / 'drawn', num_train=count, num_eval=0, style=style)
        )
        with open(drawn, newline='') as f:
            self.waiting = [(drawn.parent / row['path'], row['label']) for row in csv.DictReader(f)]
        self.folder = folder / CLIPS
        self.folder.mkdir()
        (folder / 'classes.txt').write_text('\n'.join(synthetic.CLASSES) + '\n')
        self.labels = folder / LABELS
        self.there: dict[str, str] = {}

    def add(self, count: int) -> None:
        """Clips come, with their labels."""
        for _ in range(count):
            path, label = self.waiting.pop(0)
            shutil.copy(path, self.folder)
            self.there[path.name] = label
        self.write()

    def change(self, count: int) -> None:
        """The oldest clips are written anew."""
        for name in [*self.there][:count]:
            os.utime(self.folder / name)

    def write(self, wrong: str = '') -> None:
        """Writes the labels, with one that is `wrong`."""
        lines = [
            (name, label, 'train' if number % HELD_OUT else 'eval')
            for number, (name, label) in enumerate(self.there.items())
        ]
        if wrong:
            name, label, split = lines[-1]
            lines[-1] = name, f'{label}|{wrong}', split
        with open(self.labels, 'w', newline='') as f:
            csv.writer(f).writerows([('path', 'label', 'split'), *lines])


def settings(folder: Path) -> dict[str, Any]:
    """A pipeline of a small model of sound, which is trained in seconds."""
    return {
        'name': NAME,
        'root': str(folder / 'root'),
        'data': {
            'videos': str(folder / CLIPS),
            'annotations': str(folder / LABELS),
            'media': {'shorter_side_px': 32},
        },
        'start': 'scratch',
        'finetune': {
            'recipe': 'demo',
            'modalities': ['audio'],
            'fusion': 'early',
            'audio': {'seconds': 0.96, 'patch': [16, 32]},
            'backbone': {'width': 32, 'num_layers': 1, 'num_heads': 2, 'mlp_width': 64},
            'num_views': 1,
            'schedule': {'batch_size': 4, 'epochs': 2, 'warmup_epochs': 0},
        },
        'gate': {'max_loss_of_top1': 1.0},
        'run': {'steps_per_loop': 1, 'checkpoint_every_loops': 1},
    }


def run_once(folder: Path, parameters: dict[str, str]) -> Any:
    """A run in this process; raises whatever a component raises."""
    from pipeline import local_runner
    from pipeline.config import PipelineConfig

    config = PipelineConfig.model_validate(settings(folder))
    return local_runner.run(config, lambda *_, **__: None, parameters)


def run_killed(folder: Path) -> None:
    """A run in a process that is killed as soon as training has left a checkpoint."""
    trained = {*glob.glob(f'{folder}/root/work/finetune-*')}
    command = [sys.executable, '-m', __name__, str(folder)]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not any(
        glob.glob(f'{glob.escape(path)}/checkpoints/*.index')
        for path in {*glob.glob(f'{folder}/root/work/finetune-*')} - trained
    ):
        assert run.poll() is None, 'the run ended before it could be killed'
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def run_week(folder: Path, collection: Collection, week: Week) -> Report:
    """What happens in a week, and how its run ends."""
    collection.add(week.added)
    collection.change(week.changed)
    clips = len(collection.there)
    if week.trouble == BAD_LABELS:
        collection.write(wrong='square+flute')
    if week.trouble == KILLED:
        run_killed(folder)
    try:
        finished = run_once(folder, {'gate.min_top1': '1.0'} if week.trouble == HIGH_GATE else {})
    except ValueError as error:
        collection.write()
        return Report(week, clips, refusal=str(error))
    counts = finished.output('Examples').custom_properties
    taken_over = counts['num_taken_over'].int_value
    outcome = finished.outcome
    return Report(
        week,
        clips,
        converted=counts['num_clips'].int_value - taken_over,
        taken_over=taken_over,
        top1=outcome.metrics['top1'],
        version=os.path.basename(outcome.pushed),
        refusal='' if outcome.blessed else outcome.refusal.partition('; report')[0],
    )


def simulate(folder: Path, weeks: Sequence[Week]) -> list[Report]:
    """Runs the weeks one after the other, in the order given.

    Raises:
        AssertionError: a claim does not hold.
    """
    collection = Collection(folder, sum(week.added for week in weeks))
    reports: list[Report] = []
    new = 0
    for number, week in enumerate(weeks, 1):
        report = run_week(folder, collection, week)
        reports.append(report)
        new += week.added + week.changed
        if week.trouble == BAD_LABELS:
            assert 'a softmax needs one label a clip' in report.refusal, report
            continue
        assert report.converted == new, f'week {number} converts {report.converted}, {new} are new'
        assert report.converted + report.taken_over == report.clips, report
        assert bool(report.version) == (week.trouble != HIGH_GATE), report
        assert bool(report.refusal) == (week.trouble == HIGH_GATE), report
        new = 0
    check_all(folder, collection, reports)
    return reports


def check_all(folder: Path, collection: Collection, reports: Sequence[Report]) -> None:
    """Asserts that every version and every clip is there, once."""
    import tensorflow as tf

    from avmae_tf.data.records import KEY

    pushed = [report.version for report in reports if report.version]
    assert sorted(os.listdir(folder / 'root/serving' / NAME)) == sorted({*pushed})
    examples = glob.glob(f'{folder}/root/pipeline/VideoExampleGen/examples/*')
    newest = max(examples, key=lambda path: int(os.path.basename(path)))
    keys = [
        tf.train.Example.FromString(record).features.feature[KEY].bytes_list.value[0].decode()
        for record in tf.data.TFRecordDataset(glob.glob(f'{newest}/Split-*/*')).as_numpy_iterator()
    ]
    assert sorted(keys) == sorted(collection.there), 'a clip is lost, or there twice'


def table(reports: Sequence[Report]) -> Table:
    """A line a week."""
    result = Table(title='a run a week')
    for column in ('week', 'clips', 'converted', 'taken over', 'Top-1'):
        result.add_column(column, justify='right')
    result.add_column('what happened')
    result.add_column('version, or why there is none')
    for number, report in enumerate(reports, 1):
        result.add_row(
            *map(str, (number, report.clips, report.converted, report.taken_over)),
            '' if report.top1 is None else f'{report.top1:.3f}',
            report.week.trouble
            or (f'{report.week.changed} changed' if report.week.changed else ''),
            report.version or report.refusal,
        )
    return result


def compare_all(folder: Path) -> list[Comparison]:
    """Prints the table of 20 weeks; the process ends with 1 where a claim does not hold."""
    from avmae_tf.training import devices

    devices.configure_cpu_devices()
    try:
        reports = simulate(folder, TWENTY)
    except AssertionError as error:
        sys.exit(f'weeks: {error}')
    Console(width=150).print(table(reports))
    assert sum(bool(report.version) for report in reports) == 18
    new = sum(report.week.added + report.week.changed for report in reports)
    converted = sum(report.converted for report in reports)
    return [
        Comparison(
            *('clips converted in 20 weeks', 'clips that came or changed', 'clip'),
            *(converted, new, 1.0, 'clips', 1.0),
        )
    ]


if __name__ == '__main__':
    from avmae_tf import console

    console.quiet()
    run_once(Path(sys.argv[1]), {})
