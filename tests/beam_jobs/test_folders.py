"""Folders of videos as disks have them: broken links, closed folders, names that are no text."""

import csv
import errno
import os
import shutil

import pytest
import tensorflow as tf
from click.testing import CliRunner

from avmae_tf.cli.data import convert
from avmae_tf.config import MediaSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.data.records import FILENAME, KEY
from beam_jobs.convert import convert as convert_manifest
from beam_jobs.datasets import build_manifest
from beam_jobs.manifest_report import Listed, report_of
from beam_jobs.manifests import read_manifest, write_manifest
from beam_jobs.videos import VideoIndex

NAME = os.fsdecode(b'caf\xe9.mp4')


def names(folder) -> list[str]:
    return [file.name for file in VideoIndex(str(folder)).files]


def test_a_link_to_itself_is_skipped_and_named(tmp_path):
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub/a.mp4').touch()
    (tmp_path / 'sub/loop.mp4').symlink_to('loop.mp4')
    assert names(tmp_path) == ['sub/a.mp4']
    found = report_of(build_manifest(str(tmp_path)))
    assert found.unread == Listed(1, ('sub/loop.mp4',))


def test_a_folder_without_permission_is_skipped_and_named(tmp_path, monkeypatch):
    for name in ('a.mp4', 'lost+found/b.mp4', 'sub/c.mp4'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    real = os.scandir

    def scandir(path):  # root may read whatever its mode
        if 'lost+found' in path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path)

    monkeypatch.setattr(os, 'scandir', scandir)
    assert names(tmp_path) == ['a.mp4', 'sub/c.mp4']
    shown = CliRunner().invoke(convert, ['--videos', str(tmp_path), '--dry-run'])
    assert shown.exit_code == 0
    assert f'skipped 1 below {tmp_path} that cannot be read: lost+found' in shown.output
    (tmp_path / 'lost+found/videos').mkdir()
    with pytest.raises(ValueError, match=r'lost\+found/videos: Permission denied'):
        VideoIndex(str(tmp_path / 'lost+found/videos'))


def test_a_linked_folder_is_followed_though_its_path_begins_like_the_folder_of_videos(tmp_path):
    for name in ('ds/x.mp4', 'ds2/y.mp4'):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / 'ds2/link').symlink_to('../ds')
    (tmp_path / 'ds2/up').symlink_to('..')
    assert names(tmp_path / 'ds2') == ['link/x.mp4', 'y.mp4']


@pytest.fixture
def latin(clips, tmp_path):
    """A folder of a good video and a damaged one whose names are no UTF-8, and a good one."""
    good, folder = sorted((clips.parent / 'train').glob('*.mp4'))[0], tmp_path / 'videos'
    folder.mkdir()
    for name in ('ok.mp4', NAME):
        shutil.copy(good, folder / name)
    (folder / f'bad-{NAME}').write_text('no video')
    return folder


def test_names_that_are_no_utf_8_are_converted_or_set_aside(latin, tmp_path):
    out = tmp_path / 'out'
    done = CliRunner().invoke(
        convert, ['--videos', str(latin), '--out', str(out), '--side', '32', '--shards', '2']
    )
    assert done.exit_code == 0, done.output + repr(done.exception)
    found = {}
    for shards in load_dataset(str(out)).splits.values():
        for record in tf.data.TFRecordDataset([str(out / shard.path) for shard in shards]):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            key, file = (features[name].bytes_list.value[0].decode() for name in (KEY, FILENAME))
            found[key] = file
    assert found == {'ok.mp4': 'ok.mp4', r'caf\xe9.mp4': r'caf\xe9.mp4'}
    with open(out / 'set_aside.csv', newline='', encoding='utf-8') as f:
        (row,) = csv.DictReader(f)
    assert (row['key'], row['reason']) == (r'bad-caf\xe9.mp4', 'unreadable')


def test_names_that_are_no_utf_8_keep_their_bytes_in_a_manifest(latin, tmp_path):
    manifest = build_manifest(str(latin))
    write_manifest(str(tmp_path / 'manifest'), manifest)
    again = read_manifest(str(tmp_path / 'manifest'))
    assert again == manifest and again.fingerprint == manifest.fingerprint
    assert os.fsencode(again.rows[1].path) == os.fsencode(NAME)


def test_names_that_hold_line_breaks_stay_one_name(tmp_path):
    videos, out, folder = tmp_path / 'videos', str(tmp_path / 'out'), str(tmp_path / 'manifest')
    videos.mkdir()
    held = {'a\rb.mp4', 'a\nb.mp4', 'a\r\n,"b".mp4'}
    for name in held:
        (videos / name).touch()
    manifest = build_manifest(str(videos))
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest
    with pytest.raises(ValueError, match='none of 3 clips could be used'):
        convert_manifest(manifest, out, MediaSpec())
    with open(tmp_path / 'out/set_aside.csv', newline='', encoding='utf-8') as f:
        rows = [*csv.DictReader(f)]
    assert {row['key'] for row in rows} == held


def test_a_file_of_time_0_is_there(tmp_path):
    (tmp_path / 'a.mp4').touch()
    (tmp_path / 'a.bin').touch()
    for name in ('a.mp4', 'a.bin'):
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / 'a.csv').write_text('path\na.mp4\na.bin\n')
    manifest = build_manifest(str(tmp_path), str(tmp_path / 'a.csv'))
    assert [row.is_found for row in manifest.rows] == [True, True]
