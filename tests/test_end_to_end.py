"""The whole loop as a user runs it: processes, kills, gates, caches. Minutes each."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from command import BIN, CACHED, COMPONENTS, SETTINGS, avmae, run_pipeline, versions, write_pipeline

from avmae_tf.data import synthetic

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('one_device')]


def stages(done) -> dict[str, str]:
    """What the command said last of every component."""
    said, node = {}, None
    for line in done.stderr.splitlines():
        if line and not line.startswith(' '):
            node = line
        elif node:
            said[node] = line.strip()
    return said


@pytest.fixture
def run_here(here):
    """`run_pipeline` in this process: another would import TFX to find that nothing changed."""
    return lambda folder, **settings: here(
        'pipeline', 'run', '--config', write_pipeline(folder, **settings)
    )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A pipeline folder whose clips hold some that cannot be used."""
    folder = tmp_path_factory.mktemp('pipeline')
    annotations = synthetic.write_clips(folder / 'clips', num_train=64, num_eval=32)
    video = (folder / 'clips/train/00000-square-flute.mp4').read_bytes()
    (folder / 'clips/truncated.mp4').write_bytes(video[: len(video) // 3])
    (folder / 'clips/text.mp4').write_text('not a video')
    with open(annotations, 'a', newline='') as f:
        csv.writer(f).writerows([name, 'square+flute', 'train'] for name in
                                ('truncated.mp4', 'text.mp4', 'gone.mp4'))  # fmt: skip
    return folder


def test_a_run_pushes_a_model_and_counts_what_it_set_aside(folder):
    done = run_pipeline(folder)
    assert done.returncode == 0, done.stderr
    assert len(versions(folder)) == 1
    assert 'set aside 3 clips: 2 unreadable, 1 missing' in done.stderr
    assert set(COMPONENTS) <= set(stages(done))
    assert 'nothing to compare with' in done.stderr
    listed = next((folder / 'pipeline/VideoExampleGen/examples').glob('*/set_aside.csv'))
    assert all(name in listed.read_text() for name in ('truncated.mp4', 'text.mp4', 'gone.mp4'))


def test_an_unchanged_run_executes_nothing_and_pushes_nothing(folder, run_here):
    before = versions(folder)
    said = stages(run_here(folder))
    assert {said[n] for n in CACHED} == {'nothing changed'}
    assert versions(folder) == before


def test_a_gate_that_is_not_met_refuses(folder, run_here):
    before = versions(folder)
    done = run_here(folder, gate=0.999)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('error: not pushed: top1 is 0.') and 'below the gate of 0.999' in last
    assert Path(last.split('report in ')[1]).is_dir()
    assert versions(folder) == before


def test_a_changed_recipe_reruns_only_what_depends_on_it(folder, run_here):
    done = run_here(folder, epochs=1)
    said = stages(done)
    assert 'nothing to compare with' not in done.stderr
    assert said['VideoExampleGen'] == said['Pretrainer'] == 'nothing changed'
    assert said['Finetuner'] != 'nothing changed' and said['Evaluator'] != 'nothing changed'
    assert len(versions(folder)) == 2


def test_a_third_run_that_changes_nothing_executes_nothing_whatever_was_pushed_before(
    folder, run_here
):
    before = versions(folder)
    said = stages(run_here(folder, epochs=1))
    assert {said[n] for n in CACHED} == {'nothing changed'}
    assert versions(folder) == before


def test_the_pushed_model_answers_without_this_package(folder, tmp_path):
    model = folder / 'serving/small' / versions(folder)[0]
    command = [BIN / 'saved_model_cli', 'show', '--dir', model, '--all']
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    for signature in ('serving_default', 'clips', 'embed'):
        assert f"signature_def['{signature}']" in shown
    # tensorflow_transform, which TFX imports into the process of the tests, asks for tf_keras
    client = {k: v for k, v in os.environ.items() if k != 'TF_USE_LEGACY_KERAS'}
    code = f"""
import io, sys, wave, tensorflow as tf
file = io.BytesIO()
with wave.open(file, 'wb') as f:
    f.setparams((1, 2, 16000, 0, 'NONE', ''))
    f.writeframes(bytes(64000))
model = tf.saved_model.load({str(model)!r})
jpeg = tf.io.encode_jpeg(tf.zeros([64, 64, 3], tf.uint8))
answer = model.signatures['clips'](frames=tf.stack([[jpeg] * 16]),
    frames_per_second=tf.constant([8.0]), audio=tf.constant([file.getvalue()]))
assert abs(float(tf.reduce_sum(answer['scores'])) - 1) < 1e-4 and answer['error'][0] == ''
assert not [m for m in sys.modules if m.split('.')[0] in ('avmae_tf', 'beam_jobs', 'tf_keras')]
"""
    subprocess.run([sys.executable, '-c', code], check=True, cwd=tmp_path, env=client)

    shard = next((folder / 'pipeline/VideoExampleGen/examples').glob('*/Split-eval/*'))
    record = next(iter(tf.data.TFRecordDataset(str(shard)))).numpy()
    np.save(tmp_path / 'examples.npy', np.array([record], dtype=object))
    command = [BIN / 'saved_model_cli', 'run', '--dir', model, '--tag_set', 'serve',
               '--signature_def', 'serving_default', '--inputs', 'examples=examples.npy',
               '--outdir', tmp_path]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=client)
    assert np.load(tmp_path / 'scores.npy').sum() == pytest.approx(1, abs=1e-4)


def test_predict_names_clips_and_says_what_is_wrong_with_others(folder):
    clip = folder / 'clips/eval/00000-square-flute.mp4'
    done = avmae('predict', '--model', folder / 'serving/small', clip, folder / 'clips/text.mp4')
    assert done.returncode == 1
    assert done.stdout.startswith(f'{clip}  ') and '+' in done.stdout
    assert 'text.mp4' in done.stderr


def write_actions(folder: Path):
    """Generated clips as EPIC-KITCHENS annotates them: the shape is the noun, the timbre the verb.

    Every clip is a video of its own.
    """
    synthetic.write_clips(folder / 'clips', num_train=64, num_eval=32)
    (folder / 'epic').mkdir()
    (folder / 'videos').mkdir()
    nouns, verbs = list(synthetic.SHAPES), list(synthetic.PARTIALS)
    columns = 'narration_id video_id start_timestamp stop_timestamp verb_class noun_class'
    lines = {'train': [columns.split()], 'eval': [columns.split()]}
    with open(folder / 'clips/annotations.csv', newline='') as f:
        for i, row in enumerate(csv.DictReader(f)):
            noun, verb = row['label'].split('+')
            (folder / 'clips' / row['path']).rename(folder / f'videos/P01_{i}.mp4')
            labels = [verbs.index(verb), nouns.index(noun)]
            lines[row['split']].append([i, f'P01_{i}', '00:00:00.00', '00:00:02.00', *labels])
    for split, name in {'train': 'train', 'eval': 'validation'}.items():
        with open(folder / f'epic/EPIC_100_{name}.csv', 'w', newline='') as f:
            csv.writer(f).writerows(lines[split])


def test_nouns_and_verbs_go_the_same_way(tmp_path):
    write_actions(tmp_path)
    settings = SETTINGS.replace('EPOCHS', '2').replace('min_top1: GATE', 'min_action: 0.999')
    settings = settings.replace('videos: clips', 'dataset: epic-kitchens, videos: videos')
    path = tmp_path / 'pipeline.yaml'
    path.write_text(settings.replace('clips/annotations.csv', 'epic'))
    refused = avmae('pipeline', 'run', '--config', path)
    assert refused.returncode == 1
    last = refused.stderr.strip().splitlines()[-1]
    assert last.startswith('error: not pushed: action is 0.') and 'gate of 0.999' in last

    path.write_text(path.read_text().replace('min_action: 0.999', 'min_action: 0.0'))
    done = avmae('pipeline', 'run', '--config', path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:3]] == [
        'action', 'top1_noun', 'top1_verb'
    ]  # fmt: skip
    clip = tmp_path / 'videos/P01_0.mp4'
    named = avmae('predict', '--model', tmp_path / 'serving/small', clip).stdout.splitlines()
    assert [line.split()[1] for line in named] == ['noun:', 'verb:', 'action:']


def test_the_demo_learns_and_is_cached_the_second_time(tmp_path):
    workdir = tmp_path / 'demo'
    done = avmae('demo', '--workdir', workdir)
    assert done.returncode == 0, done.stderr
    for name in ('loss_curves', 'reconstructions', 'confusion_matrix'):
        assert (workdir / f'{name}.png').stat().st_size > 10_000
    rows = {r.split('│')[1].strip(): r.split('│')[2:5] for r in done.stdout.splitlines()
            if r.count('│') == 5}  # fmt: skip
    top1, scratch, chance = map(float, rows['Top-1 accuracy'])
    assert top1 >= scratch + 0.1 and top1 >= 3 * chance  # many clips, few labels: what it is for
    error, _, mean_patch = rows['reconstruction error']
    assert float(error) < float(mean_patch)

    again = avmae('demo', '--workdir', workdir)
    assert again.returncode == 0
    assert again.stdout.count('cached') >= 5
    shutil.rmtree(workdir)
