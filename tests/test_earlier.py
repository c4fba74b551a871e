"""What earlier versions wrote is read, served, taken as finished, and gone on with."""

import csv
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from command import avmae

from avmae_tf.config import RunSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.data.inputs import eval_batches, training_batches
from avmae_tf.models.builders import build_classifier
from avmae_tf.predictor import Predictor
from avmae_tf.training import loop
from avmae_tf.training.checkpoints import RunFolder, load_model, model_fingerprint, run_folder
from avmae_tf.training.export import export_saved_model, record_outputs
from avmae_tf.training.inspection import inspect_model, inspect_run, inspect_saved_model
from avmae_tf.training.saving import checkpoints_in
from avmae_tf.training.serving import ERROR
from avmae_tf.training.tasks import FinetuneTask, PretrainTask
from avmae_tf.training.warm_start import warm_start
from beam_jobs import video_to_records
from beam_jobs.convert import convert
from beam_jobs.datasets import build_manifest
from components.evaluation.analysis import analyse

ARCHIVES = sorted((Path(__file__).parent / 'earlier').glob('*.tar.xz'))
pytestmark = pytest.mark.usefixtures('one_device', 'unwatched')
TASKS = {'pretrain': PretrainTask, 'finetune': FinetuneTask}
ROOT = '/srv/avmae'  # where the archives were written


def extracted(archive: Path, out: Path) -> Path:
    """The content of an archive; its videos as old as its manifest says, to the nanosecond."""
    with tarfile.open(archive) as content:
        content.extractall(out)
    with open(out / 'manifest/small/rows.csv', newline='') as f:
        for row in csv.DictReader(f):
            os.utime(out / 'clips' / row['key'], ns=(0, int(row['modified_ns'])))
    return out


@pytest.fixture(scope='module', params=ARCHIVES, ids=lambda path: path.name.partition('.')[0])
def folder(request, tmp_path_factory) -> Path:
    return extracted(request.param, tmp_path_factory.mktemp('earlier'))


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob('[!.]*') if path.is_file()}


def test_models_load_with_all_their_weights(folder):
    for kind, variables in ('pretrain', 'encoder'), ('finetune', 'head'):
        model = load_model(str(folder / kind / 'model'))
        assert any(variables in v.name for v in model.variables)
        assert all(np.isfinite(v.numpy()).all() for v in model.variables)


def test_a_classifier_starts_from_them(folder):
    model = build_classifier(load_model(str(folder / 'finetune/model')).config, {'label': 3})
    pretrained = load_model(str(folder / 'pretrain/model'))
    assert {'3 video blocks', '3 audio blocks'} <= set(warm_start(model, pretrained).taken)


@pytest.mark.slow
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


def test_clips_that_were_converted_are_not_converted_again(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(video_to_records, 'convert_rows', None)
    before = files_in(folder / 'records')
    manifest, dataset = build_manifest('clips', 'clips/annotations.csv'), load_dataset('records')
    num_shards = 1 if len(dataset.splits['train']) == 1 else None
    summary = convert(manifest, 'records', dataset.media, num_shards=num_shards)
    assert summary.splits == {'eval': 8, 'train': 16} and summary.num_set_aside == 0
    assert files_in(folder / 'records') == before
    with pytest.raises(ValueError, match='records: holds records of other videos'):
        convert(manifest, 'records', dataset.media.replace(jpeg_quality=80), num_shards=num_shards)


def trained(folder: Path, kind: str, name: str) -> tuple[RunFolder, list[str], dict]:
    """What comes of the run in `name` when its command is given again: folder, words, scalars."""
    said, path = [], str(folder / 'records')
    place = RunFolder(str(folder / name))
    task = TASKS[kind](place.read().config, load_dataset(path))
    initial = model_fingerprint(str(folder / 'pretrain/model')) if kind == 'finetune' else ''
    run = RunSpec(steps_per_loop=4)
    scalars = loop.train(task, path, place, run=run, initial=initial, say=said.append)
    return place, said, scalars


@pytest.mark.parametrize('kind', TASKS)
def test_a_finished_run_is_taken_as_finished_and_kept(folder, kind):
    before = files_in(folder / kind)
    place, said, _ = trained(folder, kind, kind)
    assert said == [f'{kind}: finished before, model in {place.model}']
    assert files_in(folder / kind) == before


@pytest.mark.parametrize('kind', TASKS)
@pytest.mark.parametrize('finished', [True, False])
def test_a_pipeline_finds_its_run_whatever_its_folder_was_called_after(
    folder, tmp_path, kind, finished
):
    work = shutil.copytree(folder / 'work', tmp_path / 'work')
    (path,) = work.glob(f'{kind}-*')
    content = json.loads((path / 'run.json').read_text())
    (path / 'run.json').write_text(json.dumps({**content, 'finished': finished}))
    dataset = load_dataset(str(next(folder.glob('pipeline/VideoExampleGen/examples/*'))))
    model = next(folder.glob('pipeline/Pretrainer/model/*/Format-Serving'))
    initial = model_fingerprint(str(model)) if kind == 'finetune' else ''
    config = RunFolder(str(path)).read().config
    assert run_folder(str(work), config, dataset, initial).path == str(path)
    other = run_folder(str(work), config.replace(seed=1), dataset, initial)
    assert not Path(other.path).exists()


@pytest.mark.slow
@pytest.mark.parametrize('kind', TASKS)
def test_what_they_hold_is_said(folder, kind):
    assert inspect_model(str(folder / kind / 'model'))['parameters'] > 1000
    killed = inspect_run(str(folder / f'{kind}-killed'))
    assert killed['step'] == 2 and not killed['run']['finished']
    served = inspect_saved_model(str(folder / 'served'))
    assert len(served['labels']['label']) == 16 and 'serving_default' in served['signatures']


@pytest.mark.slow
@pytest.mark.parametrize('kind', TASKS)
def test_a_killed_run_goes_on_from_its_checkpoint(folder, kind):
    step = checkpoints_in(str(folder / f'{kind}-killed/checkpoints'))[-1].rpartition('-')[-1]
    place, said, scalars = trained(folder, kind, f'{kind}-killed')
    assert said[1:] == [f'{kind}: resumed from step {step} of 8']  # after the devices
    assert np.isfinite(scalars['loss'])
    assert load_model(place.model).config == place.read().config


def test_an_earlier_export_is_not_measured_on_frames_of_another_size(folder, tmp_path):
    if ERROR in record_outputs(str(folder / 'served')):
        pytest.skip('it takes frames of any size')
    records = shutil.copytree(folder / 'records', tmp_path / 'records')
    described = (records / 'dataset.json').read_text()
    (records / 'dataset.json').write_text(
        described.replace('"shorter_side_px": 32', '"shorter_side_px": 64')
    )
    with pytest.raises(ValueError, match=r'records of 64 px, and .*served, .* only those of 32 px'):
        analyse(str(folder / 'served'), str(records), 'eval', str(tmp_path / 'report'))


@pytest.mark.slow
def test_an_earlier_export_is_measured(folder, tmp_path):
    metrics, left_out = analyse(
        str(folder / 'served'), str(folder / 'records'), 'eval', str(tmp_path / 'report')
    )
    assert left_out == 0 and 0 <= metrics['top1'] <= metrics['top5'] <= 1


def moved_root(folder: Path) -> Path:
    """Makes the archive's root, which holds absolute paths, one that was written in `folder`."""
    manifest = folder / 'manifest/small'
    job = next(folder.glob('pipeline/VideoExampleGen/examples/*/job.json'))
    described, claim = (
        json.loads((job.parent / n).read_text()) for n in ('dataset.json', job.name)
    )
    media = json.dumps(described['media'], sort_keys=True)

    def fingerprint(rows: str) -> str:
        """As versions 64b678f and 96cd153 wrote it to `job.json`."""
        heads = json.dumps(json.loads((manifest / 'heads.json').read_text()))
        rows = hashlib.sha256((heads + rows).encode()).hexdigest()[:16]
        return hashlib.sha256(f'{rows}\n{media}\nexample'.encode()).hexdigest()[:16]

    rows = (manifest / 'rows.csv').read_text()
    rows = ''.join(f'{line}\r\n' for line in rows.splitlines())
    assert claim['fingerprint'] == fingerprint(rows)
    claim['fingerprint'] = fingerprint(rows.replace(ROOT, str(folder)))
    job.write_text(json.dumps(claim))
    with sqlite3.connect(folder / 'metadata.sqlite') as store:
        store.execute('UPDATE Artifact SET uri = replace(uri, ?, ?)', (ROOT, str(folder)))
    store.close()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('archive', ARCHIVES, ids=lambda path: path.name.partition('.')[0])
def test_a_pipeline_goes_on_with_an_earlier_root(archive, tmp_path):
    root = moved_root(extracted(archive, tmp_path))
    settings = yaml.safe_load((root / 'pipeline.yaml').read_text())
    settings['gate'] = {'min_top1': 0.0, 'max_loss_of_top1': 1.0}
    (root / 'pipeline.yaml').write_text(yaml.safe_dump(settings))
    kept = [files_in(root / name) for name in ('pipeline', 'serving', 'work')]
    (version,) = (root / 'serving/small').iterdir()

    done = avmae('pipeline', 'run', '--config', root / 'pipeline.yaml')
    assert done.returncode == 0, done.stderr
    for path, content in {k: v for files in kept for k, v in files.items()}.items():
        assert path.read_bytes() == content, path
    shards = root.glob('pipeline/VideoExampleGen/examples/*/Split-train/*-00000-of-*')
    assert len({path.stat().st_ino for path in shards}) == 1  # the records are the earlier ones
    for kind in TASKS:  # and so are the models
        assert f'{kind}: finished before, model in {root}/work/{kind}-' in done.stderr
    assert 'the gate had nothing to compare with' not in done.stderr
    assert len([*(root / 'serving/small').iterdir()]) == 2 and version.exists()
