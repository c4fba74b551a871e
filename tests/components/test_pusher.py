"""A model is pushed once, whole or not at all, and the newest version is the one that counts."""

import os
import subprocess
import sys
import time

import pytest
import tensorflow as tf

from avmae_tf.training.export import latest_version, versions_in
from avmae_tf.training.identity import identity
from components.pusher import executor

HALF = """
import os, sys
from components.pusher import executor

def half(source, target):
    os.makedirs(target)
    open(f'{target}/saved_model.pb', 'w').close()
    os.kill(os.getpid(), 9)

executor.io_utils.copy_dir = half
executor.push(*sys.argv[1:])
"""


def export(path, *, weight=1.0, factor=2.0, names=('a', 'b')) -> str:
    """A SavedModel of a loop and of class names; every call numbers its functions anew."""
    module = tf.Module()
    module.weight = tf.Variable(weight)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name='x')])
    def classify(x):
        scores = tf.map_fn(lambda value: value * factor * module.weight, x)
        return {'scores': scores, 'labels': tf.constant([names])}

    tf.saved_model.save(module, str(path), signatures=classify)
    return str(path)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Two different SavedModels."""
    folder = tmp_path_factory.mktemp('models')
    return export(folder / 'a'), export(folder / 'b', weight=3.0)


def test_the_same_model_is_pushed_once_and_an_older_one_again(models, tmp_path):
    first, second = models
    serving = str(tmp_path / 'serving')
    pushed = executor.push(first, serving)
    assert executor.push(first, serving) == pushed
    assert executor.push(export(tmp_path / 'again'), serving) == pushed
    other = executor.push(second, serving)
    again = executor.push(first, serving)
    assert versions_in(serving) == [pushed, other, again]
    assert latest_version(serving) == again
    assert tf.saved_model.load(again).weight == 1.0
    assert sorted(os.listdir(serving)) == [os.path.basename(v) for v in versions_in(serving)]


def test_identity_is_content(models, tmp_path):
    first = identity(models[0])
    assert identity(export(tmp_path / 'same')) == first
    others = {
        'weight': export(tmp_path / 'weight', weight=1.5),
        'factor': export(tmp_path / 'factor', factor=2.5),
        'names': export(tmp_path / 'names', names=('b', 'a')),
        'shape': export(tmp_path / 'shape', names=('a', 'b', 'c')),
    }
    assert len({first, *map(identity, others.values())}) == 5
    assert identity(str(tmp_path)) is None


def test_a_push_that_fails_leaves_no_version(models, tmp_path, monkeypatch):
    def fail(source, target):
        os.makedirs(target)
        raise OSError('disk full')

    monkeypatch.setattr(executor.io_utils, 'copy_dir', fail)
    with pytest.raises(OSError, match='disk full'):
        executor.push(models[0], str(tmp_path / 'serving'))
    assert not (tmp_path / 'serving').exists()


def test_what_a_killed_push_left_goes_with_the_next_one(models, tmp_path):
    serving = tmp_path / 'serving'
    killed = subprocess.run([sys.executable, '-c', HALF, models[0], str(serving)])
    assert killed.returncode == -9
    (left,) = (name for name in os.listdir(serving) if name.endswith('.tmp'))
    assert left.split('.')[1].isdigit() and versions_in(str(serving)) == []
    (serving / 'notes.tmp').write_text('mine')
    pushed = executor.push(models[0], str(serving))
    assert sorted(os.listdir(serving)) == sorted(['notes.tmp', os.path.basename(pushed)])


def test_a_push_of_the_served_model_clears_leftovers_too(models, tmp_path):
    pushed = executor.push(models[0], str(tmp_path))
    (tmp_path / f'{int(time.time())}.1.tmp').mkdir()
    assert executor.push(models[0], str(tmp_path)) == pushed
    assert os.listdir(tmp_path) == [os.path.basename(pushed)]


@pytest.mark.parametrize('kept', ['saved_model.pb', 'variables/variables.index', None])
def test_half_a_version_is_none(models, tmp_path, kept):
    pushed = executor.push(models[0], str(tmp_path / 'serving'))
    half = tmp_path / 'serving' / str(int(os.path.basename(pushed)) + 1)
    half.mkdir()
    if kept:
        (half / kept).parent.mkdir(exist_ok=True)
        (half / kept).write_text('')
    assert latest_version(str(tmp_path / 'serving')) == pushed
