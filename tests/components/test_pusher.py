"""A model is pushed once, whole or not at all, and the newest version is the one that counts."""

import os

import pytest
import tensorflow as tf

from avmae_tf.training.export import latest_version, versions_in
from components.pusher import executor


@pytest.fixture
def models(tmp_path):
    """Two SavedModels."""
    paths = []
    for name in 'ab':
        module = tf.Module()
        module.value = tf.Variable(1.0)
        paths.append(str(tmp_path / name))
        tf.saved_model.save(module, paths[-1])
    return paths


def test_the_same_model_is_pushed_once_and_an_older_one_again(models, tmp_path):
    first, second = models
    serving = str(tmp_path / 'serving')
    pushed = executor.push(first, serving)
    assert executor.push(first, serving) == pushed
    other = executor.push(second, serving)
    again = executor.push(first, serving)
    assert versions_in(serving) == [pushed, other, again]
    assert latest_version(serving) == again and tf.saved_model.load(again).value == 1.0


def test_a_push_that_fails_leaves_no_version(models, tmp_path, monkeypatch):
    def fail(source, target):
        os.makedirs(target)
        raise OSError('disk full')

    monkeypatch.setattr(executor.io_utils, 'copy_dir', fail)
    with pytest.raises(OSError, match='disk full'):
        executor.push(models[0], str(tmp_path / 'serving'))
    assert os.listdir(tmp_path / 'serving') == []


def test_half_a_version_is_none(models, tmp_path):
    pushed = executor.push(models[0], str(tmp_path / 'serving'))
    half = tmp_path / 'serving' / str(int(os.path.basename(pushed)) + 1)
    half.mkdir()
    assert latest_version(str(tmp_path / 'serving')) == pushed
