"""Every verb with its paths in a bucket, as processes against a Cloud Storage on this machine."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cloud_storage import CloudStorage

from avmae_tf.data.synthetic import CLASSES
from avmae_tf.training import devices

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
RECIPE = """
recipe: demo
backbone: {width: 32, num_heads: 2, mlp_width: 64}
schedule: {epochs: EPOCHS, warmup_epochs: 0.5, batch_size: 8}
"""
CLIP = 'clips/eval/00000-square-flute.mp4'
DEADLINE_SECONDS = 300


class Machine:
    """Where `gs://` leads to the bucket, and the command runs."""

    def __init__(self, bucket: CloudStorage):
        self.environment = {**os.environ, **bucket.environment, devices.CPU_DEVICES: '1'}

    def start(self, *arguments) -> subprocess.Popen:
        command = [BIN / 'avmae', *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=self.environment)

    def run(self, *arguments) -> tuple[str, str]:
        """Standard output and standard error of a command that succeeds."""
        with self.start(*arguments) as process:
            try:
                said = process.communicate(timeout=DEADLINE_SECONDS)
            finally:
                process.kill()
        assert process.returncode == 0, said
        return said


@pytest.fixture(scope='module')
def bucket(tmp_path_factory):
    with CloudStorage(tmp_path_factory.mktemp('storage'), 'bucket') as bucket:
        yield bucket


@pytest.fixture(scope='module')
def machine(bucket):
    return Machine(bucket)


@pytest.fixture(scope='module')
def clips(machine, bucket):
    out = bucket.path('clips')
    machine.run('clips', out, '--train', 32, '--eval', 16)
    return out


@pytest.fixture(scope='module')
def records(machine, bucket, clips):
    """Of half the training clips, with the classes in an order of their own."""
    bucket.write('clips/classes.txt', '\n'.join(reversed(CLASSES)).encode())
    names = [name for name in bucket.objects('clips/train/') if name < 'clips/train/00016']
    bucket.write('subset.txt', '\n'.join(n.removeprefix('clips/') for n in names).encode())
    out = bucket.path('records')
    machine.run(
        *('convert', '--videos', clips, '--annotations', f'{clips}/annotations.csv'),
        *('--subset', bucket.path('subset.txt'), '--out', out),
    )
    return out


@pytest.fixture(scope='module')
def pretraining(bucket, records):
    """The arguments of a pretraining."""
    bucket.write('pretrain.yaml', RECIPE.replace('EPOCHS', '40').encode())
    recipe, workdir = bucket.path('pretrain.yaml'), bucket.path('pretrained')
    return 'pretrain', '--data', records, '--recipe', recipe, '--workdir', workdir


@pytest.fixture(scope='module')
def killed(machine, bucket, pretraining):
    """A pretraining that is killed at its first checkpoint, and what its second start says."""
    with machine.start(*pretraining) as process:
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while 'pretrained/checkpoints/checkpoint' not in bucket.objects('pretrained/'):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            process.kill()
    return machine.run(*pretraining)[1]


@pytest.fixture(scope='module')
def exported(machine, bucket, records, killed):
    bucket.write('finetune.yaml', RECIPE.replace('EPOCHS', '2').encode())
    workdir, model = bucket.path('finetuned'), bucket.path('serving/1')
    machine.run(
        *('finetune', '--data', records, '--recipe', bucket.path('finetune.yaml')),
        *('--pretrained', bucket.path('pretrained/model'), '--workdir', workdir),
    )
    machine.run('export', '--model', f'{workdir}/model', '--out', model)
    return bucket.path('serving')


def test_clips_that_are_there_are_not_made_again(machine, bucket, clips):
    before = bucket.generations('clips/train/')
    assert sum(name.endswith('.mp4') for name in before) == 32
    machine.run('clips', clips, '--train', 32, '--eval', 16)
    assert bucket.generations('clips/train/') == before


def test_convert_reads_and_writes_buckets(bucket, records):
    dataset = json.loads(bucket.read('records/dataset.json'))
    written = bucket.objects('records/')
    counts = {}
    for split, shards in dataset['splits'].items():
        assert all(written[f'records/{shard["path"]}'] for shard in shards)
        counts[split] = sum(shard['num_examples'] for shard in shards)
    assert counts == {'train': 16, 'eval': 16}
    assert dataset['heads'] == {'label': [*reversed(CLASSES)]}
    assert not bucket.objects('records/work')


def test_inspect_reads_a_bucket_and_draws_into_it(machine, bucket, records):
    sheet = bucket.path('sheets/records.png')
    said, _ = machine.run('inspect', records, '--json', '--out', sheet, '--clips', 2)
    assert json.loads(said)['clips'] == 32
    assert bucket.read('sheets/records.png').startswith(b'\x89PNG')


def test_a_killed_run_goes_on_and_a_finished_one_is_known(machine, bucket, pretraining, killed):
    resumed = int(killed.split('resumed from step ')[1].split()[0])
    assert 0 < resumed < 80
    written = bucket.objects('pretrained/')
    assert {'pretrained/model/model.json', 'pretrained/model/weights.index'} < written.keys()
    (logs,) = {
        name.rpartition('/')[0] for name in written if name.endswith('projector_config.pbtxt')
    }
    assert re.fullmatch('pretrained/logs/pretrain-demo-changed-[0-9-]+', logs)
    assert {f'{logs}/thumbnails.png', f'{logs}/embeddings.tsv'} <= written.keys()
    command = [BIN / 'tensorboard', '--inspect', '--logdir', bucket.path(f'{logs}/train')]
    found = subprocess.run(command, capture_output=True, text=True, env=machine.environment)
    assert 'loss/loss_video' in found.stdout and 'reconstruction/video' in found.stdout
    assert 'finished before' in machine.run(*pretraining)[1]
    assert bucket.objects('pretrained/') == written


def test_predict_names_clips_here_and_in_a_bucket(machine, bucket, exported, tmp_path):
    here = tmp_path / 'clip.mp4'
    here.write_bytes(bucket.read(CLIP))
    said, _ = machine.run('predict', '--model', exported, '--json', here, bucket.path(CLIP))
    answers = [json.loads(line) for line in said.splitlines()]
    assert answers[0]['scores'] == answers[1]['scores'] and len(answers[0]['scores']) == 5


def test_evaluate_reads_and_writes_buckets(machine, bucket, records, exported):
    model, report = f'{exported}/1', bucket.path('report')
    said, _ = machine.run(
        'evaluate', '--model', model, '--data', records, '--out', report, '--json'
    )
    assert set(json.loads(said)) == {'top1', 'top5', 'map'}
    assert bucket.objects('report/')


def assert_complete_at_every_moment(bucket, version: str):
    """What a server looks for was written after all the rest."""
    order = bucket.generations(f'{version}/')
    files = sorted((name for name in order if not name.endswith('/')), key=order.get)
    assert f'{version}/variables/variables.index' in files
    assert files[-1] == f'{version}/saved_model.pb'


def test_a_server_never_sees_half_an_export(bucket, exported):
    assert_complete_at_every_moment(bucket, 'serving/1')


def test_a_server_never_sees_half_a_push_and_the_next_one_clears_it(machine, bucket, exported):
    push = 'import sys; from components.pusher.executor import push; print(push(*sys.argv[1:]))'

    def pushed() -> str:
        command = [sys.executable, '-c', push, f'{exported}/1', bucket.path('pushed')]
        done = subprocess.run(command, capture_output=True, text=True, env=machine.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().removeprefix(bucket.path(''))

    bucket.write('pushed/7/variables/variables.index', b'half')  # a push that was killed
    bucket.write('pushed/notes/1.txt', b'mine')
    version = pushed()
    assert_complete_at_every_moment(bucket, version)
    before = bucket.generations('pushed/')
    assert {name.split('/')[1] for name in before} - {''} == {version.split('/')[1], 'notes'}
    assert pushed() == version
    assert bucket.generations('pushed/') == before


def test_nothing_unfinished_is_left_in_the_bucket(bucket, exported):
    names = [name for name in bucket.objects() if not name.startswith('pretrained/checkpoints/')]
    assert not [name for name in names if 'tmp' in name or 'temp' in name]
