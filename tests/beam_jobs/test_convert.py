"""Manifests, planned shards, and conversions that go on after an interruption."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from clock_movies import write_movie

from avmae_tf.config import MediaSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.data.inputs import training_batches
from avmae_tf.data.record_writer import DMVR
from avmae_tf.data.records import KEY, LABEL_TEXT
from beam_jobs import jobs, video_to_records
from beam_jobs.convert import convert
from beam_jobs.datasets import build_manifest
from beam_jobs.manifests import Row, read_manifest, write_manifest
from beam_jobs.shards import WORK, plan_shards

MEDIA = MediaSpec(shorter_side_px=32)


def write_annotations(folder: Path, *lines: str) -> str:
    path = folder / 'list.csv'
    path.write_text('\n'.join(lines) + '\n')
    return str(path)


def contents(out) -> dict[bytes, bytes]:
    """Key to record, of all splits."""
    found = {}
    for path in sorted(Path(out).glob('Split-*/*')):
        for record in tf.data.TFRecordDataset(str(path)):
            example = tf.train.Example.FromString(record.numpy())
            key = example.features.feature[KEY].bytes_list.value[0]
            assert key not in found, 'a clip was written twice'
            found[key] = record.numpy()
    return found


def test_annotations_become_rows(tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'1234')
    path = write_annotations(
        tmp_path, 'path,label,start,end,split', 'a.mp4,dog|cat,1.5,3,train', 'gone.mp4,dog,,,test'
    )
    manifest = build_manifest(str(tmp_path), path)
    first, second = manifest.rows
    assert (first.key, first.labels, first.start, first.end) == (
        'a.mp4#1.5-3', {'label': ('dog', 'cat')}, 1.5, 3.0,
    )  # fmt: skip
    assert first.size_bytes == 4 and first.modified_ns > 0
    assert second == Row('gone.mp4', 'gone.mp4', 'gone.mp4', 'eval', {'label': ('dog',)})
    assert manifest.videos == str(tmp_path)
    assert manifest.heads == {'label': ('cat', 'dog')}


def test_without_annotations_every_video_counts(tmp_path):
    (tmp_path / 'sub').mkdir()
    for name in ('a.mp4', 'sub/b.WEBM', 'notes.txt'):
        (tmp_path / name).touch()
    assert [row.key for row in build_manifest(str(tmp_path)).rows] == ['a.mp4', 'sub/b.WEBM']


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (['file,label', 'a.mp4,dog'], r'list.csv: the first line must name the columns path'),
        (['path,lable', 'a.mp4,dog'], r"unknown columns \['lable'\]"),
        (['path,label', 'a.mp4'], 'line 2: not 2 fields'),
        (['path,start', 'a.mp4,soon'], "line 2: start must be seconds, got 'soon'"),
        (['path,label'], 'names no video'),
    ],
)
def test_bad_annotations_are_named(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        build_manifest(str(tmp_path), write_annotations(tmp_path, *lines))


def test_a_manifest_reads_back_and_knows_when_a_video_changed(clips, tmp_path):
    manifest = build_manifest(str(clips.parent), str(clips))
    write_manifest(str(tmp_path), manifest)
    assert read_manifest(str(tmp_path)) == manifest
    other = tmp_path / 'videos'
    shutil.copytree(clips.parent, other)
    before = build_manifest(str(other), str(other / 'annotations.csv'))
    video = next((other / 'train').glob('*.mp4'))
    video.write_bytes(video.read_bytes() + b'0')
    after = build_manifest(str(other), str(other / 'annotations.csv'))
    assert before.fingerprint != after.fingerprint


def test_shards_are_planned_alike_and_hold_every_clip_once(clips):
    manifest = build_manifest(str(clips.parent), str(clips))
    plans = plan_shards(manifest, num_shards=3)
    assert plans == plan_shards(manifest, num_shards=3)
    assert [plan.path for plan in plans] == [
        'Split-eval/clips-00000-of-00001',
        *(f'Split-train/clips-0000{i}-of-00003' for i in range(3)),
    ]
    keys = [row.key for plan in plans for row in plan.rows]
    assert sorted(keys) == sorted(row.key for row in manifest.rows)


def test_clips_of_one_video_stay_in_one_shard(tmp_path):
    lines = [f'v{i % 5}.mp4,{i},{i + 1},train' for i in range(40)]
    path = write_annotations(tmp_path, 'path,start,end,split', *lines)
    plans = plan_shards(build_manifest(str(tmp_path), path), num_shards=4)
    homes = {(row.path, plan.index) for plan in plans for row in plan.rows}
    assert len(homes) == 5


def test_a_conversion_describes_what_it_wrote(records, clips):
    dataset = load_dataset(records)
    assert dataset.num_examples('train') == 48 and dataset.num_examples('eval') == 16
    assert len(dataset.classes) == 16 and dataset.media == MEDIA
    with open(clips, newline='') as f:
        labels = {row['path'].encode(): row['label'].encode() for row in csv.DictReader(f)}
    found = contents(records)
    assert found.keys() == labels.keys()
    for key, record in found.items():
        features = tf.train.Example.FromString(record).features.feature
        assert features[LABEL_TEXT].bytes_list.value[0] == labels[key]


def test_what_cannot_be_used_is_set_aside_by_name_and_reason(clips, tmp_path):
    good = sorted((clips.parent / 'train').glob('*.mp4'))[:3]
    videos = tmp_path / 'videos'
    videos.mkdir()
    for path in good:
        shutil.copy(path, videos)
    (videos / 'truncated.mp4').write_bytes(good[0].read_bytes()[:2000])
    (videos / 'text.mp4').write_text('not a video')
    write_movie(videos / 'silent.mp4', sound=lambda seconds, rate: np.zeros(int(seconds * rate)))
    write_movie(videos / 'mute.mp4', audio=None)
    path = write_annotations(
        videos, 'path,split', *(f'{p.name},train' for p in good),
        'truncated.mp4,train', 'text.mp4,train', 'gone.mp4,train',
        'silent.mp4,train', 'mute.mp4,train',
    )  # fmt: skip
    out = tmp_path / 'out'
    summary = convert(build_manifest(str(videos), path), str(out), MEDIA)
    assert summary.clips == 4 and summary.notes == {'silent': 1}
    reasons = {row['key']: row['reason'] for row in summary.set_aside}
    assert reasons == {
        'truncated.mp4': 'unreadable', 'text.mp4': 'unreadable', 'gone.mp4': 'missing',
        'mute.mp4': 'no_audio',
    }  # fmt: skip
    with open(out / 'set_aside.csv', newline='') as f:
        assert {row['key'] for row in csv.DictReader(f)} == reasons.keys()
    assert json.loads((out / 'report.json').read_text())['set_aside'] == {
        'unreadable': 2, 'missing': 1, 'no_audio': 1,
    }  # fmt: skip
    with open(out / 'noted.csv', newline='') as f:
        assert [row['key'] for row in csv.DictReader(f)] == ['silent.mp4']
    assert summary.describe('OUT') == [
        'set aside 4 clips: 2 unreadable, 1 missing, 1 no_audio; see OUT/set_aside.csv',
        'used, but noted: 1 silent; see OUT/noted.csv',
    ]


def test_an_interrupted_conversion_converts_only_what_is_missing(
    clips, records, tmp_path, monkeypatch
):
    manifest = build_manifest(str(clips.parent), str(clips))
    out = tmp_path / 'out'
    shutil.copytree(records, out)
    # as a kill leaves it: one shard without its report, one with neither, half a shard
    (out / 'dataset.json').unlink()
    missing = plan_shards(manifest)[2:4]
    for plan in missing:
        (out / plan.report_path).unlink()
    (out / missing[0].path).unlink()
    (out / WORK / 'half').mkdir(parents=True)

    real, converted = video_to_records.convert_rows, []

    def convert_rows(rows, job):
        converted.append(rows)
        return real(rows, job)

    monkeypatch.setattr(video_to_records, 'convert_rows', convert_rows)
    convert(manifest, str(out), MEDIA)
    assert sorted(converted, key=str) == sorted((list(p.rows) for p in missing), key=str)
    assert contents(out) == contents(records)
    assert sorted(os.listdir(out)) == sorted(os.listdir(records))


def test_a_copy_under_another_root_gives_the_same_bytes(clips, records, tmp_path):
    videos, out = tmp_path / 'another/root', tmp_path / 'out'
    shutil.copytree(clips.parent, videos, copy_function=shutil.copyfile)  # with times of its own
    here, there = (build_manifest(str(f), str(f / clips.name)) for f in (clips.parent, videos))
    assert here.fingerprint != there.fingerprint
    convert(there, str(out), MEDIA)
    assert load_dataset(str(out)) == load_dataset(records)
    shards = sorted(p.relative_to(out) for p in out.glob('Split-*/*'))
    assert len(shards) == 8
    for shard in shards:
        assert (out / shard).read_bytes() == (Path(records) / shard).read_bytes()


@pytest.mark.parametrize('harm', ['deleted', 'cut', 'empty'])
def test_a_shard_that_is_missing_from_a_finished_folder_is_made_again(
    clips, records, tmp_path, harm
):
    out = tmp_path / 'out'
    shutil.copytree(records, out)
    shard = sorted(out.glob('Split-train/*'))[1]
    before, description = shard.read_bytes(), (out / 'dataset.json').read_bytes()
    if harm == 'deleted':
        shard.unlink()
    else:
        os.truncate(shard, 0 if harm == 'empty' else len(before) // 2)
    convert(build_manifest(str(clips.parent), str(clips)), str(out), MEDIA)
    assert shard.read_bytes() == before and (out / 'dataset.json').read_bytes() == description


def test_what_killed_attempts_left_behind_goes_before_the_work_starts(clips, tmp_path, monkeypatch):
    (tmp_path / WORK).mkdir()
    (tmp_path / WORK / 'clips-of-a-killed-attempt').write_bytes(b'0' * 1000)
    real, seen = video_to_records.convert_rows, []

    def convert_rows(rows, job):
        seen.extend(os.listdir(tmp_path / WORK))
        return real(rows, job)

    monkeypatch.setattr(video_to_records, 'convert_rows', convert_rows)
    convert(build_manifest(str(clips.parent / 'eval')), str(tmp_path), MEDIA)
    assert 'rows.csv' in seen and 'clips-of-a-killed-attempt' not in seen


def test_a_file_in_the_place_of_the_output_folder_is_refused_by_name(clips, tmp_path):
    (tmp_path / 'out').write_text('mine')
    with pytest.raises(ValueError, match=rf'{tmp_path}/out: must be a folder to write to'):
        convert(build_manifest(str(clips.parent), str(clips)), str(tmp_path / 'out'), MEDIA)
    assert (tmp_path / 'out').read_text() == 'mine'


def test_a_folder_of_another_job_is_refused(clips, records):
    manifest = build_manifest(str(clips.parent), str(clips))
    with pytest.raises(ValueError, match='holds records of other videos'):
        convert(manifest, records, MediaSpec(shorter_side_px=48))


def test_another_version_of_the_conversion_does_not_go_on_with_the_records_of_this_one(
    clips, records, monkeypatch
):
    manifest = build_manifest(str(clips.parent), str(clips))
    assert convert(manifest, records, MEDIA).clips == 64  # as they are: nothing is converted
    monkeypatch.setattr(jobs, 'CONVERSION_VERSION', jobs.CONVERSION_VERSION + 1)
    with pytest.raises(ValueError, match='or of another version of the conversion; give another'):
        convert(manifest, records, MEDIA)
    assert load_dataset(records).num_examples('train') == 48


def test_a_folder_whose_claim_is_damaged_is_refused_by_name(clips, tmp_path):
    (tmp_path / 'job.json').write_bytes(b'{"fing\xe9')
    with pytest.raises(ValueError, match=rf'{tmp_path}/job.json: is damaged or of another version'):
        convert(build_manifest(str(clips.parent), str(clips)), str(tmp_path), MEDIA)


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
    (tmp_path / 'a.mp4').write_text('no')
    with pytest.raises(ValueError, match=r"none of 1 clips could be used \{'unreadable': 1\}"):
        convert(build_manifest(str(tmp_path)), str(tmp_path / 'out'), MEDIA)
    assert not (tmp_path / 'out/job.json').exists()  # the next try may use the folder


def test_what_was_missing_when_planned_is_not_looked_for(clips, tmp_path):
    good = next((clips.parent / 'train').glob('*.mp4'))
    shutil.copy(good, tmp_path / 'a.mp4')
    path = write_annotations(tmp_path, 'path', 'a.mp4', 'late.mp4')
    manifest = build_manifest(str(tmp_path), path)
    shutil.copy(good, tmp_path / 'late.mp4')
    summary = convert(manifest, str(tmp_path / 'out'), MEDIA)
    assert summary.clips == 1 and summary.reasons == {'missing': 1}


def test_training_on_the_dmvr_form_is_training_on_ours(clips, records, tmp_path, pretrain_config):
    manifest, out = build_manifest(str(clips.parent), str(clips)), str(tmp_path)
    convert(manifest, out, MEDIA, record_format=DMVR)
    with pytest.raises(ValueError, match='holds records of other videos, annotations or settings'):
        convert(manifest, out, MEDIA)
    batches = [
        next(iter(training_batches(folder, load_dataset(folder), pretrain_config, batch_size=8)))
        for folder in (records, out)
    ]
    assert batches[0].keys() == batches[1].keys() == {'video', 'audio', 'label'}
    for name, batch in batches[0].items():
        np.testing.assert_array_equal(batch, batches[1][name])
