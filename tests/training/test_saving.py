"""Checkpoints by steps and by time; damaged ones are named, and never started from."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import RunSpec
from avmae_tf.models.builders import build_classifier
from avmae_tf.training import saving
from avmae_tf.training.checkpoints import WEIGHTS, load_model, save_model
from avmae_tf.training.saving import CheckpointManager, checkpoints_in


class Run:
    """A run of one weight, which is its step."""

    def __init__(self, folder: Path, steps: int = 1, minutes: float = 60.0, **settings):
        self.said, self.fresh = [], []
        self.step, self.weight = tf.Variable(0, dtype=tf.int64), tf.Variable(tf.zeros([1000]))
        self.manager = CheckpointManager(
            tf.train.Checkpoint(step=self.step, weight=self.weight), str(folder), step=self.step,
            steps=steps, minutes=minutes, init_fn=lambda: self.fresh.append(True),
            say=self.said.append, **settings,
        )  # fmt: skip
        self.manager.restore_or_initialize()

    def go(self, *steps: int):
        for step in steps:
            self.step.assign(step)
            self.weight.assign(tf.fill([1000], float(step)))
            self.manager.save(checkpoint_number=step)

    @property
    def at(self) -> tuple[int, float]:
        return int(self.step.numpy()), float(self.weight.numpy().mean())


def names_in(folder: Path) -> list[str]:
    return [os.path.basename(prefix) for prefix in checkpoints_in(str(folder))]


def overwrite(path: Path, place: int, data: bytes):
    with open(path, 'r+b') as f:
        f.seek(place)
        f.write(data)


def write_nan(folder: Path):
    weight, step = tf.Variable(tf.fill([1000], np.nan)), tf.Variable(2, dtype=tf.int64)
    tf.train.Checkpoint(step=step, weight=weight).write(str(folder / 'ckpt-2'))


DATA, INDEX = 'ckpt-2.data-00000-of-00001', 'ckpt-2.index'
HARM = {
    'data cut in half': lambda f: os.truncate(f / DATA, 2000),
    'data empty': lambda f: os.truncate(f / DATA, 0),
    'data gone': lambda f: (f / DATA).unlink(),
    'data changed': lambda f: overwrite(f / DATA, 1000, b'\x7f'),
    'not finite': write_nan,
    'index cut in half': lambda f: os.truncate(f / INDEX, 100),
    'index empty': lambda f: os.truncate(f / INDEX, 0),
    'index gone': lambda f: (f / INDEX).unlink(),
    'index garbage': lambda f: (f / INDEX).write_bytes(b'garbage ' * 40),
}


@pytest.mark.parametrize('harm', HARM)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_taken(tmp_path, harm):
    Run(tmp_path).go(1, 2)
    HARM[harm](tmp_path)
    resumed = Run(tmp_path)
    assert resumed.at == (1, 1.0) and not resumed.fresh
    (line,) = resumed.said
    assert line.startswith(f'{tmp_path}/ckpt-2: ') and line.endswith('; taking ckpt-1 before it')
    assert ('weight is not finite' if harm == 'not finite' else 'is damaged (') in line
    resumed.go(3)  # and it is the damaged one that makes way
    assert names_in(tmp_path) == ['ckpt-1', 'ckpt-3']
    again = Run(tmp_path)
    assert again.at == (3, 3.0) and not again.said
    again.go(4)
    assert names_in(tmp_path) == ['ckpt-3', 'ckpt-4']


@pytest.mark.parametrize('listed', [b'model_checkpoint_path: "ck', b'\xff\xfe\0', b'', None])
def test_a_damaged_list_of_checkpoints_is_made_anew(tmp_path, listed):
    Run(tmp_path).go(9, 10)
    (tmp_path / 'checkpoint').unlink()
    if listed is not None:
        (tmp_path / 'checkpoint').write_bytes(listed)
    resumed = Run(tmp_path)
    assert resumed.at == (10, 10.0)
    assert resumed.said == [f'{tmp_path}/checkpoint: damaged or missing; taking ckpt-10']
    resumed.go(11)
    assert names_in(tmp_path) == ['ckpt-10', 'ckpt-11']


def test_where_no_checkpoint_is_whole_the_folder_and_the_way_out_are_named(tmp_path):
    Run(tmp_path).go(1, 2)
    for path in tmp_path.glob('*.index'):
        path.unlink()
    with pytest.raises(ValueError) as refusal:
        Run(tmp_path)
    assert str(refusal.value).startswith(f'{tmp_path}/ckpt-2: is damaged (')
    assert str(refusal.value).endswith(f'or delete {tmp_path} to start from the first step')


def test_a_save_that_a_kill_left_out_of_the_list_counts(tmp_path):
    Run(tmp_path).go(1, 2)
    before = (tmp_path / 'checkpoint').read_bytes()
    Run(tmp_path).go(3)
    (tmp_path / 'checkpoint').write_bytes(before)
    assert Run(tmp_path).at == (3, 3.0)


def test_a_folder_without_checkpoints_is_a_fresh_start(tmp_path):
    run = Run(tmp_path / 'none')
    assert run.fresh == [True] and run.said == []


def test_checkpoints_come_after_so_many_steps_or_minutes(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(saving.time, 'monotonic', lambda: now[0])
    run, saved = Run(tmp_path, steps=100, minutes=2.0), []
    for step, now[0] in [(50, 60), (60, 70), (90, 181), (100, 200), (189, 300), (190, 302)]:
        run.go(step)
        if (latest := run.manager.latest_checkpoint) not in saved:
            saved.append(latest)
    assert [int(path.rpartition('-')[2]) for path in saved] == [50, 90, 190]


@pytest.mark.parametrize(
    ('num_steps', 'run', 'steps'),
    [
        (300, RunSpec(), 50),  # killed at 250 it has lost nothing
        (100_000, RunSpec(), 10_000),
        (5_000, RunSpec(steps_per_loop=30), 480),
        (10, RunSpec(), 50),
        (300, RunSpec(checkpoint_every_loops=3), 150),
    ],
)
def test_a_tenth_of_a_run_is_lost_at_most(num_steps, run, steps):
    assert run.steps_between_checkpoints(num_steps) == steps


def test_models_that_are_not_finite_or_damaged_are_neither_saved_nor_loaded(
    dataset, finetune_config, tmp_path
):
    folder = str(tmp_path / 'model')
    model = build_classifier(finetune_config, {'label': len(dataset.classes)})
    save_model(folder, model, dataset)
    prefix, bias = os.path.join(folder, WEIGHTS), model.head.bias
    bias.assign(tf.fill(bias.shape, np.inf))
    with pytest.raises(ValueError, match=r'model: .*bias is not finite'):
        save_model(folder, model, dataset)
    load_model(folder)
    tf.train.Checkpoint(model=model).write(prefix)
    with pytest.raises(ValueError) as refusal:
        load_model(folder)
    assert str(refusal.value) == (
        f'{prefix}: model/head/bias is not finite; train it again, at a lower rate'
    )
    (data,) = tmp_path.glob('model/*.data*')
    os.truncate(data, 5000)
    with pytest.raises(ValueError) as refusal:
        load_model(folder)
    assert str(refusal.value).startswith(f'{prefix}: is damaged (')
    assert str(refusal.value).endswith('; train, import or copy the model again')


def test_a_worker_that_is_not_the_chief_restores_and_leaves_nothing(tmp_path):
    Run(tmp_path).go(1, 2)
    before = sorted(os.listdir(tmp_path))
    worker = Run(tmp_path, is_chief=False)
    assert worker.at == (2, 2.0)
    worker.go(3, 4)
    assert worker.manager.latest_checkpoint and not os.listdir(worker.manager.directory)
    assert sorted(os.listdir(tmp_path)) == before and names_in(tmp_path) == ['ckpt-1', 'ckpt-2']
    (tmp_path / 'checkpoint').unlink()  # the chief mends the list, and nobody else
    assert Run(tmp_path, is_chief=False).at == (2, 2.0)
    assert not (tmp_path / 'checkpoint').exists()


@pytest.mark.parametrize('is_chief', [True, False])
def test_all_workers_save_when_the_chief_does(tmp_path, is_chief):
    """It is time by the chief's clock, or any worker has asked for it."""
    asked = iter([False, True])
    said = iter([0.0, 0.5, 0.0])  # the mean over workers of `is it time?`
    run = Run(
        tmp_path, steps=100, is_chief=is_chief, agree=lambda _: [next(said)],
        asked=lambda: next(asked),
    )  # fmt: skip
    saved = []
    for step in (1, 2, 3):
        run.go(step)
        saved.append(run.manager.latest_checkpoint)
    assert [path and path.rpartition('-')[2] for path in saved] == ['1', '2', '3']
