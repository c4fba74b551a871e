"""The library does what the command and the components do, and costs nothing to import."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import path_utils

from avmae_tf import api
from avmae_tf.cli.predict import predict
from avmae_tf.cli.train import finetune, pretrain
from avmae_tf.config import RunSpec
from avmae_tf.models.builders import build_classifier
from avmae_tf.training import runs
from avmae_tf.training.checkpoints import model_fingerprint, save_model
from avmae_tf.training.export import describe_served
from avmae_tf.versions import LEARNING_VERSION
from components.finetuner.component import Finetuner

RUN = {'steps_per_loop': 4}
pytestmark = pytest.mark.usefixtures('one_device')


def test_importing_it_imports_nothing_heavy():
    code = (
        'import sys; from avmae_tf import api\n'
        'print({"tensorflow", "apache_beam", "tfx", "matplotlib"} & set(sys.modules))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ('set()', '')


def test_all_that_it_names_is_there():
    for name in api.__all__:
        assert getattr(api, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'predictor'"):
        _ = api.predictor


@pytest.fixture(scope='module')
def short(pretrain_config, finetune_config):
    """Settings of both trainings: one block, one modality, a few steps."""
    small = {
        'modalities': ('audio',),
        'backbone': pretrain_config.backbone.replace(num_layers=1),
        'schedule': pretrain_config.schedule.replace(epochs=0.5, warmup_epochs=0),
    }
    decoder = pretrain_config.decoder.replace(num_layers=1)
    return [
        pretrain_config.replace(**small, decoder=decoder, encoder='shared'),
        finetune_config.replace(**small),
    ]


@pytest.fixture(scope='module')
def trained(records, short, tmp_path_factory):
    """A pretraining, a finetuning from it, and what was said."""
    root, said = tmp_path_factory.mktemp('api'), []
    first = api.pretrain(records, str(root / 'pretrain'), recipe=short[0], run=RUN)
    second = api.finetune(
        records, str(root / 'finetune'), recipe=short[1].model_dump(), start=first.model, run=RUN,
        say=said.append,
    )  # fmt: skip
    return root, first, second, said


def arguments(records, workdir, config, *more):
    """Of the command; `config` becomes a file of settings."""
    workdir.mkdir(exist_ok=True)
    recipe = workdir / 'recipe.yaml'
    recipe.write_text(config.to_json())
    return ['--data', records, '--workdir', str(workdir), '--recipe', str(recipe), *more]


def component_of(records, pretrained, config, out) -> Model:
    """What the Finetuner leaves, called as in a pipeline."""
    examples, before, model = Examples(), Model(), Model()
    examples.uri, before.uri, model.uri = records, str(out / 'before'), str(out / 'after')
    shutil.copytree(pretrained, path_utils.serving_model_dir(before.uri))
    Finetuner.test_call(
        examples=examples,
        pretrained=before,
        model=model,
        config=config.to_json(),
        run=RunSpec(**RUN).to_json(),
        name='small',
        work_dir=str(out / 'work'),
        learning_version=LEARNING_VERSION,
    )
    return model


def test_command_component_and_library_put_the_same_training_together(
    records, short, model, monkeypatch, tmp_path
):
    def note(self, folder, run, **callbacks):
        asked.append((self.records, self.task.config, self.start.fingerprint, run))
        logs.append(callbacks.get('all_logs'))
        return runs.Trained('', '', {})

    asked, logs, start = [], [], model('start', modalities=('audio',))
    config = short[1].replace(backbone=api.load_model(start).config.backbone)
    monkeypatch.setattr(runs.Training, 'run', note)
    monkeypatch.setattr('components.finetuner.component.export_saved_model', lambda *_: None)
    api.finetune(records, str(tmp_path), start=start, recipe=config, run=RUN)
    component_of(records, start, config, tmp_path)
    options = ('--pretrained', start, '--steps-per-loop', '4')
    done = CliRunner().invoke(finetune, arguments(records, tmp_path / 'run', config, *options))
    assert done.exit_code == 0, done.output
    assert asked[0] == asked[1] == asked[2] and asked[0][1:] == (
        config, model_fingerprint(start), RunSpec(**RUN)
    )  # fmt: skip
    assert logs == [None, f'{tmp_path}/work/logs', None]  # of a pipeline all in one folder


@pytest.mark.slow
def test_trainings_return_folders_and_scalars_and_say_where_they_start(trained):
    _, first, second, said = trained
    assert {'loss', 'mean_patch_loss'} <= set(first.scalars)
    assert {'loss', 'top1', 'top5'} <= set(second.scalars)
    assert api.load_model(second.model).config.fusion.kind == 'bottleneck'
    assert said[0] == 'finetune: OneDeviceStrategy on CPU:0'
    assert said[1].startswith('warm start: took audio embedding, 1 audio blocks')


@pytest.mark.slow
def test_the_command_finds_the_runs_of_the_library_finished(trained, records, short):
    root, first, second, _ = trained
    for verb, config, run, more in (
        (pretrain, short[0], first, ()),
        (finetune, short[1], second, ('--pretrained', first.model)),
    ):
        workdir = root / verb.name
        done = CliRunner().invoke(verb, arguments(records, workdir, config, *more))
        assert done.exit_code == 0, done.output
        assert f'{verb.name}: finished before' in done.output
        assert f'{run.scalars["loss"]:.4f}' in done.output and run.model in done.output
    other = CliRunner().invoke(finetune, arguments(records, root / 'finetune', short[1]))
    assert 'holds a run with another initial' in str(other.exception)


@pytest.mark.slow
def test_command_component_and_library_give_the_same_weights(trained, records, short, tmp_path):
    _, first, second, _ = trained
    options = ('--pretrained', first.model, '--steps-per-loop', '4')
    done = CliRunner().invoke(finetune, arguments(records, tmp_path / 'run', short[1], *options))
    assert done.exit_code == 0, done.output

    model = component_of(records, first.model, short[1], tmp_path)
    (in_pipeline,) = tmp_path.glob('work/finetune-*/model')
    assert model.get_float_custom_property('loss') == second.scalars['loss']
    assert describe_served(path_utils.serving_model_dir(model.uri)).finetune == short[1]
    expected = api.load_model(second.model).variables
    for folder in (tmp_path / 'run/model', in_pipeline):
        for a, b in zip(expected, api.load_model(str(folder)).variables, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_predictor_answers_as_the_command(exported, clips):
    paths = [str(next((clips.parent / 'eval').glob('*.mp4'))), str(clips)]
    done = CliRunner().invoke(predict, ['--model', exported[1], '--json', *paths])
    assert done.exit_code == 1  # for the last one, which is no video
    answers = [json.loads(line) for line in done.output.splitlines()]
    assert 'scores' in answers[0] and 'error' in answers[1]
    assert answers == [*map(api.Predictor(exported[1]).predict, paths)]


@pytest.mark.parametrize(
    ('recipe', 'changed'),
    [
        ('demo', {}),
        ({'recipe': 'demo', 'schedule': {'epochs': 3}}, {'epochs': 3}),
    ],
)
def test_recipes_are_names_or_changes_of_them(records, tmp_path, monkeypatch, recipe, changed):
    asked = []
    monkeypatch.setattr(runs.Training, 'run', lambda self, *_, **__: asked.append(self))
    api.pretrain(records, str(tmp_path), recipe=recipe)
    schedule = asked[0].task.config.schedule.model_dump()
    assert {name: schedule[name] for name in changed} == changed
    with pytest.raises(ValueError, match=r"recipe must be one of .*'none'"):
        api.pretrain(records, str(tmp_path), recipe='none')


@pytest.fixture
def model(finetune_config, dataset, tmp_path):
    """Writes a classifier as drawn, with changed settings; returns its folder."""

    def write(name, **changes):
        config = finetune_config.replace(**changes)
        folder = str(tmp_path / name)
        save_model(folder, build_classifier(config, {'label': len(dataset.classes)}), dataset)
        return folder

    return write


def test_what_is_no_start_is_refused_at_once(records, model, finetune_config, tmp_path):
    backbone = finetune_config.backbone.replace(num_layers=2)
    (tmp_path / 'empty').mkdir()
    for start, message in (
        (str(tmp_path / 'none'), r'/none: no such folder; give'),
        (str(tmp_path / 'none.npz'), r'/none.npz: no such file; give'),
        (str(tmp_path / 'empty'), r'/empty: no model.json here'),
        (model('other', backbone=backbone), r'/other: the backbone.num_layers is 2, that of .* 3'),
        (model('audio', modalities=('audio',)), r'/audio: a classifier of audio knows nothing of'),
        (['a', 'b', 'c'], r'got 3: a, b, c'),
    ):
        with pytest.raises(ValueError, match=message):
            api.finetune(records, str(tmp_path / 'run'), recipe=finetune_config, start=start)
    assert not (tmp_path / 'run').exists()


def test_a_server_is_not_asked_yet():
    with pytest.raises(ValueError, match='http://localhost:8501: servers are not asked; give'):
        api.Predictor('http://localhost:8501')
