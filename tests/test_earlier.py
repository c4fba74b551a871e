"""What earlier versions wrote is read, and what they were killed at goes on."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from avmae_tf.config import FinetuneConfig, PretrainConfig, RunSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.data.inputs import eval_batches, training_batches
from avmae_tf.predictor import Predictor
from avmae_tf.training import loop
from avmae_tf.training.checkpoints import RunFolder, RunState, load_model, model_fingerprint
from avmae_tf.training.export import export_saved_model
from avmae_tf.training.tasks import FinetuneTask, PretrainTask
from components.evaluation.analysis import analyse

ARCHIVES = sorted((Path(__file__).parent / 'earlier').glob('*.tar.xz'))


@pytest.fixture(scope='module', params=ARCHIVES, ids=lambda path: path.name.partition('.')[0])
def folder(request, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('earlier')
    with tarfile.open(request.param) as archive:
        archive.extractall(out)
    return out


def test_models_load_with_all_their_weights(folder):
    for kind, variables in ('pretrain', 'encoder'), ('finetune', 'head'):
        model = load_model(str(folder / kind / 'model'))
        assert any(variables in v.name for v in model.variables)
        assert all(np.isfinite(v.numpy()).all() for v in model.variables)


def test_what_was_exported_answers_as_the_model_exported_again(folder, tmp_path):
    export_saved_model(str(folder / 'finetune/model'), str(tmp_path / 'again'))
    path = str(folder / 'clips/eval/00000-square-flute.mp4')
    before, now = (Predictor(str(x)) for x in (folder / 'served', tmp_path / 'again'))
    assert dict(before.predict(path, 16)['scores']) == pytest.approx(
        dict(now.predict(path, 16)['scores']), abs=1e-4
    )
    np.testing.assert_allclose(
        before.embed(path)['embedding'], now.embed(path)['embedding'], atol=1e-3
    )


def test_records_are_read_to_the_last_clip(folder):
    path = str(folder / 'records')
    dataset = load_dataset(path)
    config = load_model(str(folder / 'finetune/model')).config
    batches = eval_batches(path, dataset, config, batch_size=3, num_views=1)
    weights = np.concatenate([batch['weight'] for batch in batches])
    assert weights.sum() == dataset.num_examples('eval') == 8
    batch = next(iter(training_batches(path, dataset, config, batch_size=4)))
    assert batch['video'].shape == [4, 4, 32, 32, 3] and batch['label'].shape == [4, 16]


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['pretrain', 'finetune'])
def test_a_killed_run_goes_on_from_its_checkpoint(folder, kind):
    path, said = str(folder / 'records'), []
    run_folder = RunFolder(str(folder / f'{kind}-killed'))
    state = RunState.from_json((folder / f'{kind}-killed/run.json').read_text())
    dataset = load_dataset(path)
    initial = model_fingerprint(str(folder / 'pretrain/model')) if kind == 'finetune' else ''
    tasks = {
        'pretrain': (PretrainTask, PretrainConfig),
        'finetune': (FinetuneTask, FinetuneConfig),
    }
    task_class, config_class = tasks[kind]
    task = task_class(config_class.model_validate(state.config), dataset)
    run = RunSpec(steps_per_loop=4)
    scalars = loop.train(task, path, run_folder, run=run, initial=initial, say=said.append)
    assert said[0] == f'{kind}: resumed from step 2 of 8'
    assert np.isfinite(scalars['loss'])
    assert load_model(run_folder.model).config == task.config


def test_an_earlier_export_is_not_measured_on_frames_of_another_size(folder, tmp_path):
    records = shutil.copytree(folder / 'records', tmp_path / 'records')
    described = (records / 'dataset.json').read_text()
    (records / 'dataset.json').write_text(
        described.replace('"shorter_side_px": 32', '"shorter_side_px": 64')
    )
    with pytest.raises(ValueError, match=r'records of 64 px, and .*served, .* only those of 32 px'):
        analyse(str(folder / 'served'), str(records), 'eval', str(tmp_path / 'report'))
