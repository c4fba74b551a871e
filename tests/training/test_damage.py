"""Damaged files of a model are refused by name, with what to do."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from avmae_tf.cli import cli
from avmae_tf.cli.failures import explain
from avmae_tf.config import MediaSpec
from avmae_tf.data.dataset import Dataset
from avmae_tf.models.builders import build_avmae
from avmae_tf.training.checkpoints import RunFolder, RunState, save_model


@pytest.fixture(scope='module')
def model(pretrain_config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('model') / 'model'
    dataset = Dataset(media=MediaSpec(), splits={}, fingerprint='')
    save_model(str(folder), build_avmae(pretrain_config), dataset)
    return folder


def refused(function) -> str:
    with pytest.raises(Exception) as caught:
        function()
    text, code = explain(caught.value)
    assert code == 2 and len(text.splitlines()) == 1
    return text


CONTENTS = {
    'cut': lambda b: b[: len(b) // 2],
    'empty': lambda b: b'',
    'garbage': lambda b: b'\xff' * 300,
}


@pytest.mark.parametrize('how', CONTENTS)
@pytest.mark.parametrize('name', ['model.json', 'weights.index', 'weights.data-00000-of-00001'])
def test_a_damaged_model_is_named(model, tmp_path, name, how):
    from avmae_tf.training.checkpoints import load_model

    folder = tmp_path / 'model'
    shutil.copytree(model, folder)
    (folder / name).write_bytes(CONTENTS[how]((folder / name).read_bytes()))
    text = refused(lambda: load_model(str(folder)))
    assert text.startswith(f'{folder}/{name.partition(".")[0]}') and 'is damaged' in text
    assert 'train, import or copy the model again' in text


@pytest.mark.parametrize('how', CONTENTS)
def test_a_damaged_description_of_a_run_is_named(pretrain_config, tmp_path, how):
    state = RunState(pretrain=pretrain_config, dataset='a', learning_version=1)
    (tmp_path / 'run.json').write_bytes(CONTENTS[how](state.to_json().encode()))
    text = refused(lambda: RunFolder(str(tmp_path)).open(state))
    assert text.startswith(f'{tmp_path}/run.json: is damaged or of another version (')


def test_a_damaged_served_model_is_named(tmp_path):
    for name in ('variables/variables.index', 'assets.extra/model.json', 'saved_model.pb'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'\xff' * 300)
    for verb in (['inspect'], ['predict', 'a.mp4', '--model']):
        done = CliRunner().invoke(cli, [*verb, str(tmp_path)])
        text = explain(done.exception)[0]
        assert text.startswith(f'{tmp_path}/') and 'is damaged' in text
        assert text.endswith('export the model again')
