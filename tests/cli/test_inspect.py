"""`avmae inspect`: figures for people and programs, a sheet of clips, and refusals."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from matplotlib import pyplot as plt

from avmae_tf.cli import recipes
from avmae_tf.cli.failures import explain
from avmae_tf.cli.inspect import inspect
from avmae_tf.config import PRETRAIN_RECIPES
from avmae_tf.data.record_writer import FORMATS, write_record
from avmae_tf.models.builders import build_classifier
from avmae_tf.models.cost import pretraining_flops
from avmae_tf.training.checkpoints import save_model


def run(*arguments):
    result = CliRunner().invoke(inspect, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_figures_for_people_and_programs(records):
    found = json.loads(run(records, '--json'))
    assert found['clips'] == 64 and found['splits'] == {'train': 48, 'eval': 16}
    assert found['heads']['label']['top_labels']['ring+bell'] == 4
    text = run(records)
    assert 'clips     64' in text and '8 frames a second' in text and '16000 Hz' in text
    assert '16 classes, 0 of them without examples' in text


def test_the_sheet_has_a_row_for_each_clip(records, tmp_path):
    run(records, '--out', tmp_path / 'two.png', '--clips', 2)
    run(records, '--out', tmp_path / 'four.png', '--clips', 4)
    two, four = (plt.imread(tmp_path / name) for name in ('two.png', 'four.png'))
    assert 1.7 < four.shape[0] / two.shape[0] < 2.0
    colours = np.unique(four[:, : four.shape[1] // 2].reshape(-1, 4), axis=0)
    assert len(colours) > 1000  # frames, not blanks


@pytest.mark.parametrize('record_format', FORMATS)
@pytest.mark.parametrize('samples', [16000, 0])
def test_a_clip_that_lacks_something_has_its_row(tmp_path, samples, record_format):
    path = str(tmp_path / 'one')
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(
            write_record(
                key='k', filename='', label_indices={}, label_texts={}, start_us=0, end_us=1,
                frames=(), frames_per_second=8.0, waveform=np.zeros(samples, np.int16),
                sample_rate_hz=16000, valid_samples=samples, status=(), fingerprint='',
                record_format=record_format,
            )
        )  # fmt: skip
    text = run(path, '--out', tmp_path / 'sheet.png')
    assert '1 clips without video' in text and '1 clips without a label' in text
    assert (tmp_path / 'sheet.png').stat().st_size > 1000


def test_labels_are_listed_by_head(tmp_path):
    path = str(tmp_path / 'kitchen')
    with tf.io.TFRecordWriter(path) as writer:
        for verb in ('wash', 'wash', 'cut'):
            writer.write(
                write_record(
                    key='k', filename='', label_indices={'noun': (0,), 'verb': (0,)},
                    label_texts={'noun': ('cup',), 'verb': (verb,)}, start_us=0, end_us=1,
                    frames=(), frames_per_second=8.0, waveform=np.zeros(16000, np.int16),
                    sample_rate_hz=16000, valid_samples=16000, status=(), fingerprint='',
                )
            )  # fmt: skip
    lines = [' '.join(line.split()) for line in run(path).splitlines()]
    noun, verb = (lines.index(f'{head} classes, 0 of them without examples') for head in
                  ('noun 1', 'verb 2'))  # fmt: skip
    assert noun < verb and lines[noun + 1].startswith('cup 3')
    assert lines[verb + 1].startswith('wash 2') and lines[verb + 2].startswith('cut 1')


def refused(*arguments) -> str:
    result = CliRunner().invoke(inspect, [str(a) for a in arguments])
    if isinstance(result.exception, ValueError):
        return explain(result.exception)[0]
    assert result.exit_code == 2, result.output
    return result.output


def test_a_model_of_the_paper_has_layers_parameters_tokens_and_flops():
    text = run('--model', 'base', '--encoder', 'mid')
    assert text.startswith('autoencoder: mid encoder, shared decoder, joint objective')
    lines = [' '.join(line.split()) for line in text.splitlines()]
    for line in (
        'encoder, video 10 768 12 70,880,256',
        'encoder, video and audio 2 768 12 14,177,280',
        'decoder, video and audio 4 384 6 7,098,624',
        'all 165,695,488',
        'video 16 x 224 x 224 x 3 1,568 157',
        'audio 800 x 128 x 1 400 200',
        'encoder 63.412 57.8%',
        'forward pass 109.723 100.0%',
        'training step 329.170',
    ):
        assert line in lines
    config = PRETRAIN_RECIPES['vggsound-base']
    assert recipes.settings_of('base', 'mid', None, None, None) == config
    found = json.loads(run('--recipe', 'vggsound-base', '--json'))
    assert found['parameters'] == 165_695_488
    assert found['flops']['parts'] == pretraining_flops(config)


def test_options_reach_the_model():
    found = json.loads(
        run('--model', 'tiny', '--encoder', 'early', '--decoder', 'mid', '--json')
    )  # fmt: skip
    assert (found['encoder'], found['decoder']) == ('early', 'mid')
    found = json.loads(run('--model', 'tiny', '--modalities', 'audio', '--classes', 50, '--json'))
    assert found['task'] == 'finetune' and list(found['tokens']) == ['audio']
    assert found['parts'][-1]['parameters'] == 193 * 50
    large = recipes.settings_of('large', None, None, None, 309)
    assert large == recipes.recipe_of('vggsound-large', 309)


def test_a_model_is_described_without_its_memory():
    code = (
        'from avmae_tf.cli.inspect import inspect\n'
        "inspect(['--model', 'large', '--encoder', 'shared', '--json'], standalone_mode=False)\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    printed, _, peak_kib = done.stdout.strip().rpartition('\n')
    parameters = json.loads(printed)['parameters']
    assert parameters / 1e6 == pytest.approx(318.73, abs=0.006)
    assert int(peak_kib) * 1024 < 4 * parameters


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), 'give one of PATH, --model and --recipe'),
        (('records', '--model', 'base'), 'give one of PATH, --model and --recipe'),
        (('--model', 'vast'), "backbone must be one of ['base', 'huge'"),
        (
            ('--model', 'base', '--encoder', 'middle'),
            'encoder: kind must be one of early, separate, shared, mid',
        ),
        (('--model', 'base', '--encoder', 'bottleneck'), 'needs --classes'),
        (('--model', 'base', '--encoder', 'separate', '--decoder', 'separate'), 'Sec. 3.3'),
        (('--model', 'base', '--classes', '9', '--decoder', 'mid'), '--decoder is of autoencoders'),
        (('--recipe', 'demo', '--encoder', 'mid'), '--encoder needs --model'),
        (('--recipe', 'ave-base'), '--recipe ave-base is of a classifier and needs --classes'),
        (('--recipe', 'nothing'), 'recipe must be one of'),
        (('records', '--classes', '9'), '--classes needs --model or --recipe'),
        (('records', '--clips', '2'), '--clips needs --out'),
        (('--model', 'base', '--out', 'x.png'), '--out needs a PATH of records'),
        (('/nowhere',), '/nowhere: neither records, nor a model, a SavedModel, or the folder of'),
    ],
)
def test_bad_combinations_are_refused(arguments, message):
    assert message in refused(*arguments)


def test_a_sheet_in_the_place_of_a_folder_is_refused_before_anything_is_read(tmp_path):
    message = f'--out must be a PNG to write, and {tmp_path} is a folder'
    assert message in refused('/nowhere', '--out', tmp_path)


def test_folders_of_training_are_shown(tmp_path, dataset, finetune_config):
    model = build_classifier(finetune_config, {'label': len(dataset.classes)})
    save_model(str(tmp_path / 'model'), model, dataset)
    text = run(tmp_path / 'model')
    assert 'label     16 classes: cross+bell, cross+clarinet,' in text
    assert 'classifier: bottleneck encoder, classes 16 of label, tested on 2 views' in text
    assert '--out needs a PATH' in refused(tmp_path / 'model', '--out', tmp_path / 'x.png')

    tf.train.Checkpoint(model=model).save(str(tmp_path / 'checkpoints/ckpt'))
    text = run(tmp_path / 'checkpoints')
    assert f'holds     {model.count_params():,} parameters and 0 values' in text

    module = tf.Module()
    module.same = tf.function(lambda x: {'y': x}, input_signature=[tf.TensorSpec([None, 3])])
    tf.saved_model.save(module, str(tmp_path / 'served/7'), signatures=module.same)
    text = ' '.join(run(tmp_path / 'served').split())
    assert 'served/7, variables' in text and 'warm-up none' in text
    assert 'serving_default input x float32 [any, 3] output y float32 [any, 3]' in text
