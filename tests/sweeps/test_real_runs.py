"""The smallest sweep with the real command: clips are drawn, runs trained, measured and told."""

import csv
import dataclasses
import math
import statistics

import pytest
from click.testing import CliRunner

from avmae_tf.cli import sweep as command
from avmae_tf.sweeps import mini, work
from avmae_tf.sweeps.scales import SCALES

SEEDS, EPOCHS = 2, 14  # of the 20 that `avmae sweep` trains, whose gain is 12 to 16 points


@pytest.mark.slow
def test_pretraining_gains_and_nothing_is_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(mini, 'NUM_EVAL', 256)
    monkeypatch.setitem(SCALES, 'mini', dataclasses.replace(SCALES['mini'], epochs=EPOCHS / 400))
    arguments = ['gain', '--seeds', str(SEEDS), '--jobs', '1', '--workdir', str(tmp_path)]
    done = CliRunner().invoke(command.sweep, arguments)
    assert done.exit_code == 0, done.output
    with open(tmp_path / 'gain-mini.csv', newline='') as f:
        rows = list(csv.DictReader(f))
    found = {(r['row'], r['column']): [] for r in rows}
    for r in rows:
        found[r['row'], r['column']].append(float(r['value']))
    assert all(len(v) == SEEDS and all(map(math.isfinite, v)) for v in found.values())
    gains = [
        ours - scratch
        for ours, scratch in zip(
            found['Audiovisual MAE', 'AV'], found['from scratch', 'AV'], strict=True
        )
    ]
    assert statistics.mean(gains) > 0, found
    assert [*tmp_path.rglob('events.out.tfevents.*')]  # curves, and nothing that is drawn
    assert not [*tmp_path.rglob('projector_config.pbtxt')]

    monkeypatch.setattr(work, '_COMMAND', ['false'])
    again = CliRunner().invoke(command.sweep, arguments)
    assert again.exit_code == 0 and again.stdout == done.stdout
