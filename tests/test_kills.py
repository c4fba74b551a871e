"""`kill -9` in the middle of all work: started again it goes on, nothing is lost or twice."""

import random
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from command import CACHED, avmae, run_pipeline, start, versions, write_pipeline

from avmae_tf.data import synthetic
from avmae_tf.data.dataset import load_dataset
from avmae_tf.training.checkpoints import load_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('killed')
    synthetic.write_clips(folder / 'clips', num_train=64, num_eval=32)
    return folder


def kill_in(component: str, folder: Path):
    """Starts the pipeline, and kills all of it a moment after `component` has begun."""
    arguments = 'pipeline', 'run', '--config', write_pipeline(folder)
    with start(*arguments, stderr=subprocess.PIPE, start_new_session=True) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.strip() == component:
                time.sleep(random.uniform(0.0, 4.0))
                break
        assert process.poll() is None, (component, said[-5:])
        process.send_signal(signal.SIGKILL)


def test_a_pipeline_that_is_killed_in_every_component_ends_with_one_version(folder):
    for component in CACHED:  # a push takes a moment, and has a test of its own
        kill_in(component, folder)
        assert not versions(folder)
    done = run_pipeline(folder)
    assert done.returncode == 0, done.stderr
    assert len(versions(folder)) == 1
    (examples,) = (folder / 'pipeline/VideoExampleGen/examples').glob('*/dataset.json')
    dataset = load_dataset(str(examples.parent))
    assert [dataset.num_examples(split) for split in ('train', 'eval')] == [64, 32]
    for kind in 'pretrain', 'finetune':  # killed and gone on with, in one place
        (model,) = (folder / 'work').glob(f'{kind}-*/model/model.json')
        assert all(np.isfinite(v).all() for v in load_model(str(model.parent)).variables)
    again = run_pipeline(folder)
    assert again.stderr.count('nothing changed') >= len(CACHED)
    assert len(versions(folder)) == 1


def test_a_killed_pretraining_ends_as_an_undisturbed_one_and_its_curve_has_no_gap(folder, tmp_path):
    from avmae_tf.cli import figures

    examples = tmp_path / 'records'
    converted = avmae(
        *('convert', '--videos', folder / 'clips', '--side', 64, '--out', examples),
        *('--annotations', folder / 'clips/annotations.csv'),
    )
    assert converted.returncode == 0, converted.stderr

    def arguments_of(run):
        return (
            'pretrain', '--data', examples, '--workdir', tmp_path / run,
            '--set', 'schedule.epochs=20', '--steps-per-loop', 10,
            '--set', 'backbone.num_layers=2', '--set', 'backbone.width=32',
            '--set', 'backbone.num_heads=2', '--set', 'decoder.num_layers=1',
        )  # fmt: skip

    arguments = arguments_of('run')
    process = start(*arguments)
    checkpoints = tmp_path / 'run/checkpoints'
    deadline = time.monotonic() + 300
    while not list(checkpoints.glob('*.index')):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(random.uniform(0.0, 1.0))
    process.send_signal(signal.SIGKILL)
    process.wait()

    done = avmae(*arguments)
    assert done.returncode == 0, done.stderr
    assert 'pretrain: resumed from step ' in done.stderr
    resumed = int(done.stderr.split('resumed from step ')[1].split()[0])
    assert 0 < resumed <= 40
    (logs,) = (tmp_path / 'run/logs').iterdir()  # one run, whatever day it was resumed on
    assert re.fullmatch(r'pretrain-mini-changed-\d{4}-\d\d-\d\d-\d{4}', logs.name)
    steps = list(figures.scalars(str(logs / 'train'))['loss'])
    assert steps == list(range(10, 41, 10))

    assert avmae(*arguments_of('undisturbed')).returncode == 0
    models = [load_model(str(tmp_path / run / 'model')) for run in ('run', 'undisturbed')]
    for a, b in zip(*(model.variables for model in models), strict=True):
        np.testing.assert_array_equal(a, b)
