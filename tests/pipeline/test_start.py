"""Where a pipeline's classifier starts: the graph of each form, and what is looked at before."""

import json
import os
import shutil

import pytest
import tensorflow as tf
from tfx.types.channel_utils import unwrap_simple_channel_placeholder

from avmae_tf.data.dataset import load_dataset
from avmae_tf.models.builders import build_classifier
from avmae_tf.training.checkpoints import model_fingerprint, run_folder, save_model
from pipeline import local_runner
from pipeline.config import PipelineConfig
from pipeline.pipeline import build_pipeline


def pipeline_of(start):
    """A pipeline with that start."""
    config = PipelineConfig(
        root='/nowhere', data={'videos': '/clips'}, start=start, finetune='demo'
    )
    return build_pipeline(config, 'run')


def nodes_of(start):
    """Its components by id."""
    return {component.id: component for component in pipeline_of(start).components}


def test_a_pretraining_is_a_component_that_the_finetuner_starts_from():
    nodes = nodes_of({'pretrain': 'demo'})
    finetuner = nodes['Finetuner']
    assert finetuner.inputs['pretrained'] is nodes['Pretrainer'].outputs['model']
    assert not {'start', 'start_fingerprint'} & set(finetuner.exec_properties)


@pytest.mark.parametrize('models', [['/a/model'], ['/a/audio', '/vit.npz']])
def test_models_are_parameters_and_a_changed_one_is_another_key(models):
    nodes = nodes_of(models)
    finetuner = nodes['Finetuner']
    assert 'Pretrainer' not in nodes and 'pretrained' not in finetuner.inputs
    assert json.loads(finetuner.exec_properties['start']) == models
    channel = unwrap_simple_channel_placeholder(finetuner.exec_properties['start_fingerprint'])
    assert channel is nodes['StartModels'].outputs['fingerprint']


def test_from_scratch_nothing_is_given():
    nodes = nodes_of('scratch')
    assert 'Pretrainer' not in nodes and 'pretrained' not in nodes['Finetuner'].inputs
    assert not {'start', 'start_fingerprint'} & set(nodes['Finetuner'].exec_properties)


@pytest.fixture
def config(tmp_path, finetune_config):
    """A pipeline that starts from a model which is not there yet."""
    return PipelineConfig(
        root=str(tmp_path), data={'videos': '/nowhere'}, start=str(tmp_path / 'model'),
        finetune=finetune_config,
    )  # fmt: skip


def write_model(config, dataset, seed=0, **changes):
    model = build_classifier(config.finetune.replace(**changes), {'label': len(dataset.classes)})
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, [seed, i]))
    save_model(*config.start.models, model, dataset)


def test_what_is_no_start_is_refused_before_any_video_is_looked_at(config, dataset, tmp_path):
    def refusal() -> str:
        with pytest.raises(ValueError, match=r'^start: ') as refused:
            local_runner.run(config, lambda *_, **__: None)
        return str(refused.value)

    assert f'{tmp_path}/model: no such folder; give' in refusal()
    (tmp_path / 'model').mkdir()
    assert f'{tmp_path}/model: no model.json here; give' in refusal()
    backbone = config.finetune.backbone.replace(num_layers=2)
    write_model(config, dataset, backbone=backbone)
    assert 'model: the backbone.num_layers is 2, that of the classifier 3; give both' in refusal()
    write_model(config, dataset, modalities=('audio',))
    assert 'model: a classifier of audio knows nothing of video' in refusal()
    write_model(config, dataset)
    with pytest.raises(ValueError, match='/nowhere: no such folder'):  # of the videos
        local_runner.run(config, lambda *_, **__: None)


@pytest.mark.slow
@pytest.mark.usefixtures('one_device', 'unwatched')
def test_a_pipeline_starts_from_scratch_or_a_model_and_notices_another(
    clips, finetune_config, tmp_path, capsys
):
    finetune = finetune_config.replace(
        modalities=('audio',),
        backbone=finetune_config.backbone.replace(num_layers=1),
        schedule=finetune_config.schedule.replace(epochs=0.5, warmup_epochs=0),
    )

    def run(start):
        config = PipelineConfig(
            root=str(tmp_path / 'root'),
            data={
                'videos': str(clips.parent),
                'annotations': str(clips),
                'media': {'shorter_side_px': 32},
            },
            start=start,
            finetune=finetune,
            gate={'max_loss_of_top1': None},
        )
        finished = local_runner.run(config, lambda *_, **__: None)
        assert finished.outcome.pushed and finished.outcome.blessed
        return finished

    def trained(finished) -> str:
        """Folder of the model that the Finetuner has exported."""
        work = tmp_path / 'root/work'
        logs = finished.node('Finetuner').outputs['Model'].custom_properties['logs'].string_value
        assert os.path.dirname(logs) == str(work / 'logs')  # of all runs, for TensorBoard
        names = {p.parent: json.loads(p.read_text())['name'] for p in work.glob('*/run.json')}
        (run,) = (run for run, name in names.items() if name == os.path.basename(logs))
        return str(run / 'model')

    scratch = run('scratch')
    assert 'Pretrainer' not in [node.name for node in scratch.nodes]
    assert 'warm start' not in capsys.readouterr().err

    start = shutil.copytree(trained(scratch), tmp_path / 'model')
    warm = run(str(start))
    assert 'warm start: took audio embedding' in capsys.readouterr().err
    assert warm.node('VideoExampleGen').cached and not warm.node('Finetuner').cached
    assert warm.outcome.pushed != scratch.outcome.pushed
    dataset = load_dataset(warm.output('Examples').uri)
    work_dir, initial = str(tmp_path / 'root/work'), model_fingerprint(str(start))
    assert trained(warm) == run_folder(work_dir, finetune, dataset, initial).model

    assert run(str(start)).node('Finetuner').cached
    shutil.rmtree(start)
    shutil.copytree(trained(warm), start)  # another model in the same place
    again = run(str(start))
    assert not again.node('Finetuner').cached and trained(again) != trained(warm)
