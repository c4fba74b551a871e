"""Several processes train as one: the same weights, however many, and whoever is killed."""

import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from workers import Workers

from avmae_tf.config import RunSpec
from avmae_tf.training import loop
from avmae_tf.training.checkpoints import RunFolder, load_model
from avmae_tf.training.saving import checkpoints_in
from avmae_tf.training.tasks import PretrainTask

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('unwatched')]
KILLS = 5
LONGER = ['--set', 'schedule.epochs=6']  # 36 steps: a killed job is a few further when it ends


@pytest.fixture(scope='module')
def config(pretrain_config):
    """One block of one modality, for twelve steps of eight clips."""
    return pretrain_config.replace(
        modalities=('audio',),
        encoder='shared',
        backbone=pretrain_config.backbone.replace(num_layers=1),
        decoder=pretrain_config.decoder.replace(num_layers=1),
        schedule=pretrain_config.schedule.replace(epochs=2, warmup_epochs=0.2),
    )


@pytest.fixture(scope='module')
def command(config, records, tmp_path_factory):
    recipe = tmp_path_factory.mktemp('recipe') / 'recipe.yaml'
    recipe.write_text(config.to_json())
    return [
        'pretrain', '--data', records, '--recipe', recipe,
        '--steps-per-loop', 1, '--checkpoint-every-loops', 1, '--no-pictures',
    ]  # fmt: skip


def model_of(folder: Path) -> list[np.ndarray]:
    return [v.numpy() for v in load_model(str(folder / 'model')).variables]


def begin(count, folder, command) -> Workers:
    folder.mkdir(exist_ok=True)
    return Workers(count, folder, [*command, '--workdir', folder])


def finish(count, folder, command) -> str:
    """Starts all workers (again), waits for their end; returns what the chief says."""
    workers = begin(count, folder, command)
    assert workers.wait() == [0] * count, workers.said()
    assert f'{count} workers, of which this is worker 0, the chief' in workers.said()
    return workers.said()


def last_step(folder: Path) -> int:
    found = checkpoints_in(f'{folder}/checkpoints')
    return max((int(x.rpartition('-')[2]) for x in found), default=0)


def wait_for_step(folder: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while last_step(folder) < step:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_one(count, folder, command) -> None:
    """Starts all workers, and kills any of them a few steps on; the others end, and say so."""
    step, victim = last_step(folder) + random.randrange(1, 4), random.randrange(count)
    workers = begin(count, folder, command)
    wait_for_step(folder, step)
    time.sleep(random.uniform(0.0, 0.1))
    workers.send(victim, signal.SIGKILL)
    codes = workers.wait()
    assert codes[victim] == -signal.SIGKILL
    others = [code for i, code in enumerate(codes) if i != victim]
    assert others == [143] * (count - 1), (step, victim, [workers.said(i) for i in range(count)])


def train_alone(config, records, dataset, folder: Path) -> list[str]:
    said = []
    loop.train(
        PretrainTask(config, dataset), records, RunFolder(str(folder)),
        run=RunSpec(steps_per_loop=1, checkpoint_every_loops=1), say=said.append,
        strategy=tf.distribute.OneDeviceStrategy('CPU:0'),
    )  # fmt: skip
    return said


@pytest.fixture(scope='module')
def of_one(config, records, dataset, tmp_path_factory):
    """Weights that one process on one device learns."""
    folder = tmp_path_factory.mktemp('one')
    train_alone(config, records, dataset, folder)
    return model_of(folder)


def test_two_processes_learn_what_one_does_and_lose_no_step_when_they_are_told_to_end(
    command, config, records, dataset, of_one, tmp_path
):
    alone, killed = tmp_path / 'undisturbed', tmp_path / 'killed'
    finish(2, alone, command)
    for a, b in zip(model_of(alone), of_one, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)

    workers = begin(2, killed, command)
    wait_for_step(killed, 1)
    began = time.monotonic()
    workers.send(1, signal.SIGTERM)
    assert workers.wait() == [143, 143], workers.said()
    assert time.monotonic() - began < 60
    assert 'SIGTERM; saved at step' in workers.said(1)
    assert 'another worker was told to end; saved at step' in workers.said(0)
    apart = tmp_path / 'apart'
    shutil.copytree(killed, apart)
    said = train_alone(config, records, dataset, apart)  # goes on with what two have begun
    assert any('resumed from step' in line for line in said)
    for a, b in zip(model_of(apart), of_one, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    assert 'resumed from step' in finish(2, killed, command)
    for a, b in zip(model_of(killed), model_of(alone), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_processes_that_are_killed_five_times_learn_the_same_to_the_last_bit(command, tmp_path):
    alone, killed = tmp_path / 'undisturbed', tmp_path / 'killed'
    finish(2, alone, [*command, *LONGER])
    for _ in range(KILLS):
        kill_one(2, killed, [*command, *LONGER])
    assert 'resumed from step' in finish(2, killed, [*command, *LONGER])
    for a, b in zip(model_of(killed), model_of(alone), strict=True):
        np.testing.assert_array_equal(a, b)


def test_four_processes_one_of_which_is_killed_learn_what_one_does(command, of_one, tmp_path):
    kill_one(4, tmp_path, command)
    assert 'resumed from step' in finish(4, tmp_path, command)
    for a, b in zip(model_of(tmp_path), of_one, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
