"""From annotations to manifests: names of files, spellings of labels, and what is reported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clock_movies import write_movie

from avmae_tf.config.heads import LABEL
from beam_jobs import labels
from beam_jobs.datasets import build_manifest
from beam_jobs.manifest_report import Listed, report_of
from beam_jobs.manifests import EITHER_FILE, SEGMENT_FILE, VIDEO_FILE, read_manifest, write_manifest
from beam_jobs.media import _is_cut_out as is_cut_out
from beam_jobs.shards import plan_shards
from beam_jobs.videos import VideoIndex, no_such_file

ROOT = Path(__file__).parents[2]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ('name', 'holds'),
    [
        ('-a_b-30_xyz.mp4', EITHER_FILE),
        ('x/y/-a_b-30_xyz_000030.WebM', SEGMENT_FILE),
        ('-a_b-30_xyz_30.mkv', SEGMENT_FILE),
        ('-a_b-30_xyz_30000_40000.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz_30_40.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz_000030_000040.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz_30.000_40.000.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz_30.0_40.0.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz_30.000.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz_30.0.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz_30000.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz_30-40.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz-30.mp4', SEGMENT_FILE),
        ('-a_b-30_xyz-30-40.mp4', SEGMENT_FILE),
        ('Y-a_b-30_xyz_30.000.mp4', SEGMENT_FILE),
        ('Y-a_b-30_xyz.mp4', EITHER_FILE),
        ('-a_b-30_xyz_30000.wav', None),
        ('-a_b-30_xyz_000031.mp4', None),
        ('a_b-30_xyz.mp4', None),
        ('-a_b-30_xyz.json', None),
    ],
)
def test_files_are_found_as_people_store_them(tmp_path, name, holds):
    index = VideoIndex(str(touch(tmp_path, name)))
    file, found = index.by_segment('-a_b-30_xyz', 30.0, 40.0)
    assert (file.name, found) == (name, holds) if holds else file.modified_ns == 0


def test_a_cut_out_segment_wins_over_its_video_and_a_start_at_0_needs_no_telling(tmp_path):
    index = VideoIndex(str(touch(tmp_path, 'v.mp4', 'v_000030.mp4', 'v_1500_11500.mp4')))
    assert index.by_segment('v', 30.0, 40.0)[0].name == 'v_000030.mp4'
    assert index.by_segment('v', 1.5, 11.5)[0].name == 'v_1500_11500.mp4'
    assert index.by_segment('v', 0.0, 10.0) == (index.files[0], VIDEO_FILE)


def test_an_id_that_looks_like_a_segment_of_another_video_is_a_video(tmp_path):
    touch(tmp_path / 'videos', 'v_30.mp4', 'v.mp4', 'Yv.mp4')
    source = write_vggsound(tmp_path / 'l', 'v_30,0,a,train', 'v,30,a,train', 'Yv,30,a,test')
    rows = build_manifest(str(tmp_path / 'videos'), **source).rows
    assert [os.path.basename(row.path) for row in rows] == ['v_30.mp4', 'v.mp4', 'Yv.mp4']
    assert [row.holds for row in rows] == [VIDEO_FILE, EITHER_FILE, EITHER_FILE]


def test_an_empty_file_hides_no_good_one(tmp_path):
    touch(tmp_path, 'a/v.mp4', 'v_30.mp4', 'w_30.mp4')
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b/v.mkv').write_text('good')
    index = VideoIndex(str(tmp_path))
    assert index.by_stem('v')[0].name == 'b/v.mkv'
    assert index.by_segment('v', 30.0, 40.0) == (index.by_stem('v')[0], EITHER_FILE)
    assert index.by_segment('w', 30.0, 40.0)[0].name == 'w_30.mp4'  # the only one there is


def test_sounds_count_where_no_video_is_required_and_are_told_elsewhere(tmp_path):
    touch(tmp_path, 'a.wav', 'b.FLAC', 'c.m4a', 'd.opus', 'e.mp3', 'f.ogg', 'g.mp4', 'h.txt')
    names = [file.name for file in VideoIndex(str(tmp_path), ('audio',)).files]
    assert ''.join(name[0] for name in names) == 'abcdefg'
    with_video = build_manifest(str(tmp_path))
    assert [row.key for row in with_video.rows] == ['g.mp4']
    assert report_of(with_video).skipped == {
        '.wav': 1, '.flac': 1, '.m4a': 1, '.opus': 1, '.mp3': 1, '.ogg': 1, '.txt': 1,
    }  # fmt: skip
    (tmp_path / 'g.mp4').unlink()
    with pytest.raises(ValueError, match=r'names no video; 1 .*\.wav.*--require audio'):
        build_manifest(str(tmp_path))


def test_what_is_no_file_is_neither_listed_nor_opened(tmp_path):
    touch(tmp_path, 'a.mp4')
    os.mkfifo(tmp_path / 'pipe.mp4')
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'zero.mp4').symlink_to('/dev/zero')
    (tmp_path / 'folder.mp4').mkdir()
    (tmp_path / 'list.csv').write_text('path\n.\npipe\npipe.mp4\nzero.mp4\nfolder.mp4\n')
    manifest = build_manifest(str(tmp_path), str(tmp_path / 'list.csv'))
    assert not any(row.is_found for row in manifest.rows)
    assert sorted(manifest.unread) == ['pipe.mp4', 'zero.mp4']


def test_a_missing_segment_says_which_names_were_looked_for(tmp_path):
    touch(tmp_path, 'a.mp4')
    source = write_vggsound(tmp_path, '-x_y,0,dog,train', 'a,30,dog,test')
    missing = build_manifest(str(tmp_path), **source).rows[0]
    line = no_such_file(missing, missing.path)
    assert line.startswith('-x_y.*: no such file; looked for -x_y, -x_y_0_10000, ')
    for name in ('-x_y_000000', '-x_y_0', '-x_y_0-10', '-x_y-0', '-x_y_0.000'):
        assert f', {name},' in line
    (tmp_path / 'list.csv').write_text('path\ngone.mp4\n')
    (gone,) = build_manifest(str(tmp_path), str(tmp_path / 'list.csv')).rows
    assert no_such_file(gone, 'v/gone.mp4') == 'v/gone.mp4: no such file'


def test_links_are_followed_once(tmp_path):
    touch(tmp_path / 'disk', 'a.mp4')
    videos = touch(tmp_path / 'videos', 'b.mp4')
    (videos / 'more').symlink_to(tmp_path / 'disk')
    (videos / 'loop').symlink_to(videos)
    (videos / 'gone.mp4').symlink_to(videos / 'nothing.mp4')
    assert [file.name for file in VideoIndex(str(videos)).files] == ['b.mp4', 'more/a.mp4']


@pytest.mark.parametrize(
    ('length', 'start', 'end', 'cut_out'),
    [(45, 30, 40, False), (10, 30, 40, True), (11, 1, 11, False), (10, 1, 11, True),
     (10, 0, 10, False), (20, 30, 40, False)],
)  # fmt: skip
def test_a_file_is_cut_out_if_its_length_says_so(tmp_path, length, start, end, cut_out):
    path = tmp_path / 'a.mp4'
    write_movie(path, seconds=length, fps=2, size=(32, 32), audio=None)
    assert is_cut_out(str(path), start, end) == cut_out


@pytest.mark.parametrize(
    'text',
    ['  Playing\tthe  VIOLIN ', '\uff30\uff4caying the violin', 'PLAYING\u00a0the violin',
     'Playing the violín', 'Play\u0301ing THE violin'],
)  # fmt: skip
def test_spellings_of_a_label_are_one(text):
    assert labels.fold_spelling(text) == 'playing the violin'


def test_quotes_and_case_are_one_beyond_ascii():
    text = 'Child\u2019s \u201cStra\u00dfe\u201d'
    assert labels.fold_spelling(text) == labels.fold_spelling('child\'s "strasse"')


def test_ascii_needs_no_tensorflow_and_gets_the_same():
    for text in (' Dog barking, Howling', "Child's play", 'a\nB  c', 'A|"b"'):
        assert ' '.join(labels._fold_unicode(text).split()) == labels.fold_spelling(text)


def test_an_unknown_label_is_named_with_the_nearest(tmp_path):
    touch(tmp_path, 'a.mp4')
    (tmp_path / 'list.csv').write_text('path,label\na.mp4,dog barkin\n')
    (tmp_path / 'classes.txt').write_text('Zither\nDog barking\nDog growling\n')
    with pytest.raises(
        ValueError,
        match=r"list.csv, line 2: 'dog barkin' is none of the 3 classes of 'label'; "
        r"the nearest: 'Dog barking', 'Dog growling'",
    ):
        build_manifest(str(tmp_path), str(tmp_path / 'list.csv'))
    (tmp_path / 'list.csv').write_text('path,label\na.mp4,DOG  barking\n')
    manifest = build_manifest(str(tmp_path), str(tmp_path / 'list.csv'))
    assert manifest.heads == {LABEL: ('Zither', 'Dog barking', 'Dog growling')}
    assert manifest.rows[0].labels == {LABEL: ('Dog barking',)}


def write_vggsound(folder: Path, *lines: str) -> dict:
    folder.mkdir(exist_ok=True)
    (folder / 'vggsound.csv').write_text('\n'.join(lines) + '\n')
    return {'annotations': str(folder), 'name': 'vggsound'}


def test_the_report_says_what_there_is(tmp_path):
    videos = touch(tmp_path / 'videos', 'a.mp4', 'b_000000.mp4', 'c.mp4')
    source = write_vggsound(
        tmp_path / 'lists', 'a,0,dog,train', 'a,20,dog,test', 'b,0,cat,train', 'b,0,cat,train',
        'c,0,fox,test', 'gone,0,owl,train',
    )  # fmt: skip
    found = report_of(build_manifest(str(videos), **source))
    assert {k: (v.clips, v.found) for k, v in found.splits.items()} == {
        'eval': (2, 2), 'train': (3, 2),
    }  # fmt: skip
    assert found.splits['train'].hours == pytest.approx(20 / 3600)
    assert found.files == 3 and found.named_twice == 1 and found.without_times == 0
    assert found.missing == Listed(1, ('gone.*',))
    assert found.in_several_splits == Listed(1, ('a',))
    assert found.without_examples == {LABEL: Listed(2, ('fox', 'owl'))}
    assert found.record_gigabytes == pytest.approx(4 * 1.7e6 / 1e9, abs=1e-3)
    assert json.loads(found.to_json())['in_several_splits'] == {'count': 1, 'first': ['a']}


@pytest.mark.parametrize('name', ['folder', 'audioset'])
def test_a_clip_named_in_two_splits_is_a_leak(tmp_path, name):
    touch(tmp_path, 'c.mp4', 'd.mp4')
    if name == 'folder':
        source = tmp_path / 'list.csv'
        source.write_text('path,split\nc.mp4,train\nc.mp4,eval\nd.mp4,train\nd.mp4,train\n')
    else:
        source = tmp_path
        (source / 'class_labels_indices.csv').write_text('index,mid,display_name\n0,/m/a,A\n')
        for split, videos in (('balanced_train', 'cdd'), ('eval', 'c')):
            lines = ''.join(f'{video}, 0, 10, "/m/a"\n' for video in videos)
            (source / f'{split}_segments.csv').write_text(lines)
    found = report_of(build_manifest(str(tmp_path), str(source), name=name))
    assert found.named_twice == 2
    assert found.in_several_splits == Listed(1, ('c.mp4' if name == 'folder' else 'c',))


@pytest.mark.parametrize('times', [('', ''), ('0', '0'), ('5', '2')])
def test_a_job_of_nothing_to_convert_has_shards_and_no_negative_size(tmp_path, times):
    touch(tmp_path, 'c.mp4')
    (tmp_path / 'list.csv').write_text('path,start,end\n' + ','.join(('c.mp4', *times)) + '\n')
    manifest = build_manifest(str(tmp_path), str(tmp_path / 'list.csv'))
    (plan,) = plan_shards(manifest, num_shards=3)
    assert plan.rows == manifest.rows
    found = report_of(manifest)
    assert found.record_gigabytes == 0 and all(s.hours == 0 for s in found.splits.values())


def test_a_subset_is_of_what_is_trained_on(tmp_path):
    source = write_vggsound(tmp_path, 'a,0,cat,train', 'b,0,dog,train', 'c,0,dog,test')
    ids = tmp_path / 'ids.txt'
    ids.write_text('b\n\n')
    manifest = build_manifest(str(tmp_path), **source, subset=str(ids))
    assert [row.video for row in manifest.rows] == ['b', 'c']
    assert manifest.heads == {LABEL: ('cat', 'dog')}  # as without the subset
    ids.write_text('nothing\n')
    with pytest.raises(ValueError, match=r'ids.txt: holds no video id that .* trains on'):
        build_manifest(str(tmp_path), **source, subset=str(ids))


def test_a_test_split_is_evaluated_on_only_where_there_is_no_validation(tmp_path):
    for splits, wanted in (('train test', 'train eval'), ('train val test', 'train eval test')):
        lines = [f'{i}.mp4,{split}' for i, split in enumerate(splits.split())]
        (tmp_path / 'list.csv').write_text('path,split\n' + '\n'.join(lines) + '\n')
        rows = build_manifest(str(tmp_path), str(tmp_path / 'list.csv')).rows
        assert [row.split for row in rows] == wanted.split()


def test_keys_tell_close_times_apart(tmp_path):
    (tmp_path / 'list.csv').write_text(
        'path,start,end\na.mp4,12345.67,12346\na.mp4,12345.72,12346\n'
    )
    rows = build_manifest(str(tmp_path), str(tmp_path / 'list.csv')).rows
    assert [row.key for row in rows] == ['a.mp4#12345.67-12346', 'a.mp4#12345.72-12346']


def test_a_manifest_of_every_kind_reads_back(tmp_path):
    touch(tmp_path, 'a.mp4')
    source = write_vggsound(tmp_path, 'a,0,"dog, barking",train', 'b,30,cat,test')
    manifest = build_manifest(str(tmp_path), **source)
    write_manifest(str(tmp_path / 'manifest'), manifest)
    again = read_manifest(str(tmp_path / 'manifest'))
    assert again == manifest and again.fingerprint == manifest.fingerprint


NUM_ROWS = 20_000
PLANNING = """
import sys
from beam_jobs.datasets import build_manifest
from beam_jobs.manifests import write_manifest
from beam_jobs.manifest_report import report_of
manifest = build_manifest(sys.argv[1], sys.argv[1], name='vggsound')
found = report_of(manifest)
write_manifest(sys.argv[1] + '/manifest', manifest)
assert manifest.fingerprint and 'tensorflow' not in sys.modules
print(len(manifest.rows), found.files)
with open('/proc/self/status') as f:
    print(next(int(line.split()[1]) // 1024 for line in f if line.startswith('VmHWM')))
"""


@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='needs Linux')
def test_planning_is_light(tmp_path):
    for i in range(NUM_ROWS):
        (tmp_path / f'video{i:06d}.mp4').touch()
    source = write_vggsound(
        tmp_path, *(f'video{i:06d},{i % 300},label {i % 309},train' for i in range(NUM_ROWS))
    )
    done = subprocess.run(
        [sys.executable, '-c', PLANNING, source['annotations']],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    num_rows, num_files, peak_mb = map(int, done.stdout.split())
    assert num_rows == num_files == NUM_ROWS
    assert peak_mb < 100


def test_of_a_few_videos_one_is_held_out(tmp_path):
    for count in (2, 3, 8):
        folder = tmp_path / str(count)
        folder.mkdir()
        for i in range(count):
            (folder / f'{i}.mp4').touch()
        splits = {row.split for row in build_manifest(str(folder)).rows}
        assert splits == {'train', 'eval'}


def drawn(folder: Path, lines: list[str], columns: str = 'path,label') -> dict[str, str]:
    """The split of each clip of a list."""
    (folder / 'list.csv').write_text('\n'.join([columns, *lines]) + '\n')
    rows = build_manifest(str(folder), str(folder / 'list.csv')).rows
    return {row.key: row.split for row in rows}


def test_of_few_labelled_videos_some_are_on_both_sides_and_no_other_is_held_out(tmp_path):
    blank = [f'u{i}.mp4,' for i in range(100)]
    for count in (2, 3, 40):
        labelled = [f'l{i}.mp4,dog' for i in range(count)]
        splits = drawn(tmp_path, labelled + blank)
        assert splits == drawn(tmp_path, (labelled + blank)[::-1])
        held_out = {key for key, split in splits.items() if split == 'eval'}
        assert 1 <= len(held_out) < count and all(key[0] == 'l' for key in held_out)
    assert set(drawn(tmp_path, blank).values()) == {'train', 'eval'}  # none is labelled


def test_a_held_out_video_is_one_that_is_there(tmp_path):
    touch(tmp_path, 'a.mp4', 'b.mp4')
    gone = [f'gone{i}.mp4,dog' for i in range(30)]
    splits = drawn(tmp_path, ['a.mp4,dog', 'b.mp4,cat', *gone])
    assert {splits['a.mp4'], splits['b.mp4']} == {'train', 'eval'}


def test_clips_without_a_split_go_with_their_video_and_with_what_the_others_lack(tmp_path):
    columns, clips = 'path,label,split,start,end', [f'{i}.mp4,,,,' for i in range(50)]
    given = ['a.mp4,dog,train,,', 'b.mp4,cat,eval,0,1', 'b.mp4,cat,,1,2', 'b.mp4,,,2,3']
    splits = drawn(tmp_path, given + clips, columns)
    assert {k for k, v in splits.items() if v == 'eval'} == {'b.mp4#0-1', 'b.mp4#1-2', 'b.mp4#2-3'}
    splits = drawn(tmp_path, ['a.mp4,dog,train,,', *clips], columns)  # nothing is held out yet
    assert splits['a.mp4'] == 'train' and 'eval' in splits.values()


def test_a_split_that_is_none_is_named_with_its_line(tmp_path):
    (tmp_path / 'a.mp4').touch()
    annotations = tmp_path / 'labels.csv'
    annotations.write_text('path,split\na.mp4,Train\n')
    assert build_manifest(str(tmp_path), str(annotations)).rows[0].split == 'train'
    annotations.write_text('path,split\na.mp4,../x\n')
    with pytest.raises(ValueError, match=r'labels.csv.*split must be train, eval or test'):
        build_manifest(str(tmp_path), str(annotations))
