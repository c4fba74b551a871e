"""What is read of the folders that training and export write."""

import hashlib
import os

import pytest
import tensorflow as tf

import avmae_tf
from avmae_tf.models.builders import build_classifier
from avmae_tf.training import loop
from avmae_tf.training.checkpoints import RunFolder, RunState, save_model
from avmae_tf.training.export import export_saved_model
from avmae_tf.training.inspection import (
    inspect_model,
    inspect_run,
    inspect_saved_model,
    is_model,
    is_run,
)
from avmae_tf.training.origin import LOCK
from avmae_tf.training.tasks import PretrainTask

HEADS = {'noun': ('cup', 'knife', 'tap'), 'verb': ('cut', 'wash')}


@pytest.fixture(scope='module')
def model_folder(tmp_path_factory, dataset, finetune_config):
    folder = str(tmp_path_factory.mktemp('inspected') / 'model')
    model = build_classifier(finetune_config, {h: len(names) for h, names in HEADS.items()})
    save_model(folder, model, dataset.replace(heads=HEADS))
    return folder


def test_a_model_folder_has_classes_media_and_layers(model_folder, finetune_config):
    assert is_model(model_folder)
    found = inspect_model(model_folder)
    assert found['labels'] == {head: list(names) for head, names in HEADS.items()}
    assert found['classes'] == {'noun': 3, 'verb': 2}
    assert found['media']['shorter_side_px'] == 32
    head = (finetune_config.backbone.width + 1) * 5
    assert found['parts'][-1]['part'] == 'head' and found['parts'][-1]['parameters'] == head
    assert found['bytes'] > 4 * found['parameters']


def test_a_saved_model_has_signatures_classes_and_warm_up(model_folder, tmp_path):
    out = str(tmp_path / 'served')
    export_saved_model(model_folder, out)
    found = inspect_saved_model(out)
    assert found['labels'] == {head: list(names) for head, names in HEADS.items()}
    assert list(found['signatures']) == ['clips', 'embed', 'serving_default']
    served = found['signatures']['serving_default']
    assert served['inputs'] == {'examples': {'shape': [None], 'dtype': 'string'}}
    assert served['outputs']['noun_scores'] == {'shape': [None, 3], 'dtype': 'float32'}
    assert found['signatures']['embed']['outputs']['embedding']['shape'] == [None, 64]
    assert found['warmup_requests'] == 3 and found['media']['frames_per_second'] == 8.0


def test_a_saved_model_says_what_made_it(model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv('AVMAE_IMAGE', 'registry.example/avmae:1')
    monkeypatch.setenv('AVMAE_COMMIT', 'abc123-dirty')
    out = str(tmp_path / 'served')
    export_saved_model(model_folder, out)
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    assert inspect_saved_model(out)['origin'] == {
        'image': 'registry.example/avmae:1',
        'version': avmae_tf.__version__,
        'commit': 'abc123-dirty',
        'lock': lock,
    }
    os.unlink(os.path.join(out, 'assets.extra/origin.json'))  # as older versions export
    assert inspect_saved_model(out)['origin'] is None


def test_a_saved_model_of_others_has_what_it_has(tmp_path):
    module = tf.Module()
    module.double = tf.function(
        lambda x: {'labels': tf.strings.join([x, x])},
        input_signature=[tf.TensorSpec(None, tf.string, name='x')],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.double)
    found = inspect_saved_model(str(tmp_path))
    assert found['signatures']['serving_default']['inputs'] == {
        'x': {'shape': None, 'dtype': 'string'}
    }
    assert (found['labels'], found['warmup_requests'], found['media']) == ({}, 0, None)


def test_a_run_is_as_far_as_its_last_checkpoint(records, dataset, pretrain_config, tmp_path):
    config = pretrain_config.replace(
        modalities=('audio',),
        encoder='shared',
        backbone=pretrain_config.backbone.replace(num_layers=1),
        schedule=pretrain_config.schedule.replace(epochs=1),
    )
    one = tf.distribute.OneDeviceStrategy('CPU:0')
    folder = str(tmp_path / 'run')
    loop.train(PretrainTask(config, dataset), records, RunFolder(folder), strategy=one)
    assert is_run(folder) and not is_model(folder)
    found = inspect_run(folder)
    assert found['run'] == {'finished': True, 'records': dataset.fingerprint, 'initial': ''}
    assert found['step'] == 6 and found['checkpoint'].endswith('ckpt-6')
    assert found['stored_parameters'] == found['parameters']
    assert found['stored_optimizer_values'] == 2 * found['parameters']  # both moments of Adam
    assert inspect_run(f'{folder}/checkpoints/') == found

    alone = inspect_run(found['checkpoint'])
    assert alone['kind'] == 'checkpoint' and 'run' not in alone and alone['step'] == 6


def test_an_unfinished_run_is_told_by_its_settings(finetune_config, tmp_path):
    folder = RunFolder(str(tmp_path / 'run'))
    state = RunState(finetune=finetune_config, dataset='d', learning_version=1)
    folder.claim(state)
    assert is_run(folder.path)
    found = inspect_run(folder.path)
    assert not found['run']['finished'] and (found['checkpoint'], found['step']) == (None, 0)
    assert 'parts' not in found  # the classes are not known yet

    model = build_classifier(finetune_config, {'label': 7})
    prefix = os.path.join(folder.checkpoints, 'ckpt')
    tf.train.Checkpoint(model=model).save(prefix)
    found = inspect_run(folder.path)
    assert found['classes'] == {'all': 7} and found['stored_parameters'] == found['parameters']
