"""A whole pipeline whose root is in a bucket, killed while it trains, against real servers."""

import contextlib
import os
import re
import subprocess
import time

import pytest
import yaml
from cloud_storage import CloudStorage
from command import BIN
from s3 import S3

from avmae_tf.data import synthetic
from avmae_tf.training import devices

pytestmark = pytest.mark.slow
SETTINGS = """
name: small
metadata: metadata.sqlite
start: scratch
finetune:
  recipe: demo
  modalities: [audio]
  backbone: {width: 32, num_layers: 1, num_heads: 2, mlp_width: 64}
  fusion: {kind: early}
  schedule: {epochs: 12, warmup_epochs: 0.5, batch_size: 4}
gate: {min_top1: 0.0}
run: {steps_per_loop: 6, checkpoint_every_loops: 1}
"""
TRAIN, EVAL, STEPS = 12, 4, 36
DEADLINE_SECONDS = 300
CHECKPOINT = re.compile(r'root/work/finetune-\w+/checkpoints/checkpoint')


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clips')
    style = synthetic.ClipStyle(size_px=32, seconds=1.0)
    synthetic.write_clips(folder, num_train=TRAIN, num_eval=EVAL, style=style)
    return folder


@pytest.fixture(params=['s3', 'gs'])
def bucket(request, tmp_path):
    with S3('bucket') if request.param == 's3' else CloudStorage(tmp_path, 'bucket') as bucket:
        yield bucket


def start(bucket, path) -> subprocess.Popen:
    return subprocess.Popen(
        [BIN / 'avmae', 'pipeline', 'run', '--config', path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **bucket.environment, devices.CPU_DEVICES: '1'},
        cwd=path.parent,
    )


def run(bucket, path) -> tuple[str, str]:
    with start(bucket, path) as process:
        try:
            said = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, said
    return said


def test_a_root_in_a_bucket_is_worked_in_to_a_pushed_version_through_a_kill_in_training(
    bucket, clips, tmp_path
):
    import tensorflow as tf

    for file in filter(os.path.isfile, clips.rglob('*')):
        bucket.write(f'clips/{file.relative_to(clips)}', file.read_bytes())
    data = {
        'videos': bucket.path('clips'),
        'annotations': bucket.path('clips/annotations.csv'),
        'media': {'shorter_side_px': 32},
    }
    settings = {'root': bucket.path('root'), 'data': data, **yaml.safe_load(SETTINGS)}
    path = tmp_path / 'pipeline.yaml'
    path.write_text(yaml.safe_dump(settings))

    with start(bucket, path) as process, contextlib.ExitStack() as last:
        last.callback(process.kill)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not any(map(CHECKPOINT.fullmatch, bucket.objects('root/work/'))):
            if process.poll() is not None:
                pytest.fail(f'ended with {process.returncode}: {process.communicate()[1]}')
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert not bucket.objects('root/serving/')

    said, told = run(bucket, path)
    resumed, steps = re.search(r'resumed from step (\d+) of (\d+)', told).groups()
    assert 0 < int(resumed) < int(steps) == STEPS
    assert re.search(r'VideoExampleGen\n +nothing changed', told)  # no clip is decoded twice
    (version,) = re.findall(r'^pushed to (\S+)$', said, re.M)
    version = version.removeprefix(bucket.path(''))
    (dataset,) = (n for n in bucket.objects('root/pipeline/') if n.endswith('/dataset.json'))
    shards = yaml.safe_load(bucket.read(dataset))['splits']
    counts = {split: sum(s['num_examples'] for s in shards[split]) for split in shards}
    assert counts == {'train': TRAIN, 'eval': EVAL}

    order = bucket.generations(f'{version}/')
    files = sorted((name for name in order if not name.endswith('/')), key=order.get)
    assert files[-1] == f'{version}/saved_model.pb'  # what a server looks for comes last
    for name in files:
        here = tmp_path / 'served' / name.removeprefix(f'{version}/')
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(bucket.read(name))
    served = tf.saved_model.load(str(tmp_path / 'served'))
    assert {'serving_default'} < set(served.signatures)

    if isinstance(bucket, CloudStorage):
        return  # that a model is not pushed twice there is a test of pushes to buckets
    again = run(bucket, path)
    assert again[0] == said
    assert bucket.generations(f'{version}/') == order
    assert again[1].count('nothing changed') > told.count('nothing changed')
    assert {name.split('/')[3] for name in bucket.objects('root/serving/small/')} - {''} == {
        version.rpartition('/')[-1]
    }
