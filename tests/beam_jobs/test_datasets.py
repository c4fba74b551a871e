"""Miniatures of the data sets in their published layout, converted with one command each."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from clock_movies import check_sync, clicks, clock_face, write_movie

from avmae_tf.cli.data import convert
from avmae_tf.config.heads import EVENT, LABEL, NOUN, VERB
from avmae_tf.data.dataset import load_dataset
from avmae_tf.data.inputs import targets
from avmae_tf.data.records import END_US, START_US, parse_record
from beam_jobs.datasets import NAMES, build_manifest

IDS = ('-aB_cD-3f_g', '_h-1_000030', 'kLmNoPqRsTu', '00000000_10', 'missing_one')


@pytest.fixture(scope='session')
def movie(tmp_path_factory):
    """movie(first, last) is a file of those seconds of a long video."""
    folder, made = tmp_path_factory.mktemp('movies'), {}

    def make(first: int, last: int) -> Path:
        if (first, last) not in made:
            made[first, last] = path = folder / f'{first}-{last}.mp4'
            write_movie(
                path,
                seconds=last - first,
                draw=lambda t, *size: clock_face(t + first, *size),
                sound=lambda s, rate: clicks(s + first, rate)[first * rate :],
            )
        return made[first, last]

    return make


def put(source: Path, target: Path):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def run(*arguments) -> dict:
    done = CliRunner().invoke(convert, [*map(str, arguments), '--side', '64', '--json'])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return json.loads(done.stdout[done.stdout.index('{') :])


def records(out: Path, split: str) -> dict[str, SimpleNamespace]:
    """Clips by key, as `check_sync` takes them, with their labels by head."""
    dataset, found = load_dataset(str(out)), {}
    for shard in dataset.shards(split):
        for record in tf.data.TFRecordDataset(str(out / shard.path)):
            clip = parse_record(record, dataset.heads)
            context = tf.train.Example.FromString(record.numpy()).features.feature
            found[clip['key'].numpy().decode()] = SimpleNamespace(
                frames=tuple(clip['frames'].numpy()),
                waveform=clip['waveform'].numpy() * 32768,
                start_us=context[START_US].int64_list.value[0],
                end_us=context[END_US].int64_list.value[0],
                labels={head: x.numpy().tolist() for head, x in clip['labels'].items()},
                targets=targets(clip['labels'], dataset),
            )
    return found


def check_times(clip, first: float, seconds: float, *, cut_out: bool):
    """The clip shows and sounds what is at `first` of the video, whichever file it is from."""
    start = 0 if cut_out else first
    assert clip.start_us == start * 1_000_000
    assert clip.end_us - clip.start_us == pytest.approx(seconds * 1e6, abs=60_000)
    check_sync(clip, shift=start - first)


def test_vggsound_whatever_the_files_are_called(tmp_path, movie):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    (tmp_path / 'vggsound.csv').write_text(
        ''.join(
            f'{video},{start},"{label}",{split}\n'
            for video, start, label, split in (
                (IDS[0], 30, 'dog barking, howling', 'train'),
                (IDS[1], 5, 'playing  Violin', 'train'),
                (IDS[2], 20, 'playing violin', 'test'),
                (IDS[3], 20, 'dog barking, howling', 'test'),
                (IDS[4], 0, 'playing violin', 'train'),
            )
        )
    )
    put(movie(0, 45), videos / f'{IDS[0]}.mp4')  # all of it
    put(movie(5, 15), videos / f'deep/er/{IDS[1]}_000005.MP4')
    put(movie(20, 30), videos / f'{IDS[2]}_20000_30000.mp4')
    put(movie(20, 30), videos / f'{IDS[3]}.mp4')  # cut out, under the plain name
    summary = run(
        '--dataset', 'vggsound', '--videos', videos, '--annotations', tmp_path, '--out', out
    )
    assert summary['splits'] == {'eval': 2, 'train': 2}
    assert summary['set_aside'] == {'missing': 1}
    assert load_dataset(str(out)).classes == ('dog barking, howling', 'playing  Violin')
    train, test = records(out, 'train'), records(out, 'eval')
    check_times(train[f'{IDS[0]}#30-40'], 30, 10, cut_out=False)
    check_times(train[f'{IDS[1]}#5-15'], 5, 10, cut_out=True)
    check_times(test[f'{IDS[2]}#20-30'], 20, 10, cut_out=True)
    check_times(test[f'{IDS[3]}#20-30'], 20, 10, cut_out=True)
    assert [clip.labels[LABEL] for clip in train.values()] in ([[0], [1]], [[1], [0]])
    assert test[f'{IDS[2]}#20-30'].labels == {LABEL: [1]}


AUDIOSET_CLASSES = (
    'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05zppz,"Male speech, man speaking"\n'
    '2,/m/02zsn,Chime\n3,/m/0dgw9r,chime\n'
)


def write_audioset(folder: Path):
    comments = '# Segments csv created\n# num_ytids=2\n# YTID, start_seconds, end_seconds, labels\n'
    folder.mkdir()
    (folder / 'class_labels_indices.csv').write_text(AUDIOSET_CLASSES)
    for name, lines in {
        'balanced_train': [f'{IDS[0]}, 30.000, 40.000, "/m/05zppz,/m/09x0r"'],
        'unbalanced_train': [f'{IDS[1]}, 5.000, 15.000, "/m/0dgw9r"',
                             f'{IDS[2]}, 20.000, 30.000, "/m/09x0r"'],
        'eval': [f'{IDS[3]}, 20.000, 30.000, "/m/02zsn,/m/09x0r"'],
    }.items():  # fmt: skip
        (folder / f'{name}_segments.csv').write_text(comments + '\n'.join(lines) + '\n')


def test_audioset_has_several_labels_and_the_indices_of_its_classes(tmp_path, movie):
    videos, out, subset = tmp_path / 'videos', tmp_path / 'out', tmp_path / 'as500k.txt'
    write_audioset(tmp_path / 'lists')
    subset.write_text(f'{IDS[0]}\n{IDS[1]}\n')
    put(movie(0, 45), videos / f'{IDS[0]}.mp4')
    put(movie(5, 15), videos / f'{IDS[1]}_5.mp4')
    put(movie(20, 30), videos / f'{IDS[3]}_20_30.mp4')
    summary = run(
        '--dataset', 'audioset', '--videos', videos, '--annotations', tmp_path / 'lists',
        '--subset', subset, '--out', out,
    )  # fmt: skip
    assert summary['splits'] == {'eval': 1, 'train': 2} and not summary['set_aside']
    assert load_dataset(str(out)).classes == (
        'Speech', 'Male speech, man speaking', 'Chime (/m/02zsn)', 'chime (/m/0dgw9r)',
    )  # fmt: skip
    train, test = records(out, 'train'), records(out, 'eval')
    check_times(train[f'{IDS[0]}#30-40'], 30, 10, cut_out=False)
    check_times(train[f'{IDS[1]}#5-15'], 5, 10, cut_out=True)
    check_times(test[f'{IDS[3]}#20-30'], 20, 10, cut_out=True)
    assert train[f'{IDS[0]}#30-40'].labels == {LABEL: [1, 0]}
    assert train[f'{IDS[0]}#30-40'].targets[LABEL].numpy().tolist() == [1, 1, 0, 0]
    assert train[f'{IDS[1]}#5-15'].labels == {LABEL: [3]}
    assert test[f'{IDS[3]}#20-30'].labels == {LABEL: [2, 0]}


EPIC_COLUMNS = (
    'narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,'
    'start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n'
)


def write_epic(folder: Path):
    folder.mkdir()
    for name, rows in {
        'train': [('P01_01_0', 'P01', 'P01_01', '00:00:01.089', '00:00:00.14', '00:00:03.37', 8,
                   202, 'open door', 'open', 3, 'door', 299, "['door']", '[299]'),
                  ('P01_01_1', 'P01', 'P01_01', '00:00:41.000', '00:00:40.50', '00:00:43.00', 8,
                   202, 'wash, dry cup', 'wash', 96, 'cup', 0, "['cup', 'tap']", '[0, 5]')],
        'validation': [('P02_03_7', 'P02', 'P02_03', '00:01:01.000', '00:01:00.20', '00:01:02.70',
                        8, 202, 'open cup', 'open', 3, 'cup', 0, "['cup']", '[0]')],
    }.items():  # fmt: skip
        lines = (','.join(f'"{x}"' if ',' in str(x) else str(x) for x in row) for row in rows)
        (folder / f'EPIC_100_{name}.csv').write_text(EPIC_COLUMNS + '\n'.join(lines) + '\n')
    verbs = '\n'.join(f"{i},verb {i},\"['a', 'b']\"" for i in range(97))
    (folder / 'EPIC_100_verb_classes.csv').write_text(f'id,key,instances\n{verbs}\n')


def test_epic_kitchens_takes_actions_out_of_long_videos(tmp_path, movie):
    videos, out = tmp_path / 'EPIC-KITCHENS', tmp_path / 'out'
    write_epic(tmp_path / 'annotations')
    put(movie(0, 70), videos / 'P01/videos/P01_01.MP4')
    put(movie(0, 70), videos / 'P02/videos/P02_03.MP4')
    summary = run(
        '--dataset', 'epic-kitchens', '--videos', videos, '--annotations',
        tmp_path / 'annotations', '--out', out,
    )  # fmt: skip
    assert summary['splits'] == {'eval': 1, 'train': 2}
    dataset = load_dataset(str(out))
    assert list(dataset.heads) == [NOUN, VERB] and dataset.classes == ()
    assert len(dataset.heads[NOUN]) == 300 and dataset.heads[NOUN][7] == '7'
    assert len(dataset.heads[VERB]) == 97 and dataset.heads[VERB][3] == 'verb 3'
    train, validation = records(out, 'train'), records(out, 'eval')
    for clip, first, seconds in (
        (train['P01_01_0'], 0.14, 3.23),
        (train['P01_01_1'], 40.5, 2.5),
        (validation['P02_03_7'], 60.2, 2.5),
    ):
        check_times(clip, first, seconds, cut_out=False)
    assert train['P01_01_1'].labels == {NOUN: [0], VERB: [96]}
    assert {k: x.shape for k, x in train['P01_01_0'].targets.items()} == {NOUN: 300, VERB: 97}
    assert train['P01_01_0'].targets[NOUN].numpy().argmax() == 299


def write_ave(folder: Path, files: dict[str, list[str]]):
    folder.mkdir()
    for name, lines in files.items():
        header = 'Category&VideoID&Quality&StartTime&EndTime\n'
        (folder / name).write_text(header + '\n'.join(lines) + '\n')


def test_ave_has_an_event_for_each_second(tmp_path, movie):
    videos, out = tmp_path / 'AVE', tmp_path / 'out'
    bell, bark = f'Church bell&{IDS[0]}&good&2&5', f'Bark&{IDS[1]}&good&0&10'
    horn, more = f'Truck&{IDS[2]}&good&9&10', f'Church bell&{IDS[0]}&good&7&8'
    write_ave(
        tmp_path / 'lists',
        {'Annotations.txt': [bell, more, bark, horn], 'trainSet.txt': [bell, more],
         'valSet.txt': [bark], 'testSet.txt': [horn]},
    )  # fmt: skip
    for video in IDS[:3]:
        put(movie(20, 30), videos / f'{video}.mp4')
    summary = run(
        '--dataset', 'ave', '--videos', videos, '--annotations', tmp_path / 'lists', '--out', out
    )
    assert summary['splits'] == {'eval': 1, 'test': 1, 'train': 1}
    assert load_dataset(str(out)).heads == {EVENT: ('Bark', 'Church bell', 'Truck', 'background')}
    (clip,) = records(out, 'train').values()
    check_sync(clip, shift=-20)
    assert clip.labels == {EVENT: [3, 3, 1, 1, 1, 3, 3, 1, 3, 3]}
    assert clip.targets[EVENT].shape == (10, 4)
    np.testing.assert_array_equal(clip.targets[EVENT].numpy().argmax(1), clip.labels[EVENT])
    assert [c.labels[EVENT] for c in records(out, 'test').values()] == [[3] * 9 + [2]]


def test_ave_tests_on_its_test_set_where_there_is_no_other(tmp_path):
    (tmp_path / 'videos').mkdir()
    lines = {
        'trainSet.txt': [f'Bark&{IDS[0]}&good&0&10'],
        'testSet.txt': [f'Bark&{IDS[1]}&good&0&9'],
    }
    write_ave(tmp_path / 'lists', lines)
    manifest = build_manifest(str(tmp_path / 'videos'), str(tmp_path / 'lists'), name='ave')
    assert [row.split for row in manifest.rows] == ['train', 'eval']


def test_every_data_set_is_a_module():
    assert NAMES == ('audioset', 'ave', 'epic-kitchens', 'folder', 'vggsound')


@pytest.mark.parametrize(
    ('name', 'file', 'text', 'message'),
    [
        ('vggsound', 'vggsound.csv', 'a,1,dog\n', r'vggsound.csv, line 1: must have 4 fields'),
        ('vggsound', 'vggsound.csv', 'a,x,dog,test\n', "line 1: start must be seconds, got 'x'"),
        ('vggsound', 'other.csv', 'a,1,dog,test\n', r'needs vggsound.csv as published'),
        ('audioset', 'x.csv', '', 'needs balanced_train_segments.csv or unbalanced'),
        ('audioset', 'eval_segments.csv', 'a, 0, 1, "/m/x"\n', r'needs class_labels_indices.csv'),
        ('epic-kitchens', 'EPIC_100_train.csv', 'narration_id,video_id\n', 'stop_timestamp, verb'),
        (
            'epic-kitchens', 'EPIC_100_train.csv',
            EPIC_COLUMNS + 'a,P01,P01_01,0,0,1,1,1,n,v,97,n,0,[],[]\n',
            "line 2: verb_class must be a whole number below 97, got '97'",
        ),
        ('ave', 'Annotations.txt', 'Bark&x&good&0&11\n', 'line 1: EndTime must be a whole number'),
        ('ave', 'Annotations.txt', 'Bark&x&good&5&5\n', 'StartTime must be before EndTime'),
        ('movies', 'x', '', "data set must be one of audioset, ave, epic-kitchens.* got 'movies'"),
    ],
)  # fmt: skip
def test_bad_annotations_are_named(tmp_path, name, file, text, message):
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        build_manifest(str(tmp_path), str(tmp_path), name=name)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (b'a,1,caf\xe9,test\n', ': must be text in UTF-8'),
        (b'a,1,dog,test\nb,1,do\0g,test\n', ', line 2: must be text in UTF-8, got a NUL'),
        (b'a,1,"dog,test\n' + 200_000 * b'x', ', line 1: a quote is not closed'),
        (b'a,1,dog,test\n' + 200_000 * b'x', ', line 2: must be fields, separated as published'),
    ],
)
def test_what_is_no_text_of_fields_is_named(tmp_path, text, message):
    (tmp_path / 'vggsound.csv').write_bytes(text)
    with pytest.raises(ValueError, match=rf'{tmp_path}/vggsound.csv{message}'):
        build_manifest(str(tmp_path), str(tmp_path), name='vggsound')


def test_an_unknown_mid_is_named_by_the_ontology(tmp_path):
    write_audioset(tmp_path / 'lists')
    with open(tmp_path / 'lists/eval_segments.csv', 'a') as f:
        f.write('x, 0, 10, "/m/068hy"\n')
    (tmp_path / 'lists/ontology.json').write_text('[{"id": "/m/068hy", "name": "Pets"}]')
    with pytest.raises(ValueError, match=r'line 5: /m/068hy \(Pets\) is none of the 4 classes'):
        build_manifest(str(tmp_path), str(tmp_path / 'lists'), name='audioset')


def test_a_bucket_is_as_good_as_a_folder(tmp_path, movie):
    videos = tmp_path / 'videos'
    put(movie(0, 45), videos / f'deep/er/{IDS[0]}.mp4')
    put(movie(20, 30), videos / f'{IDS[1]}_20.mp4')
    (tmp_path / 'vggsound.csv').write_text(f'{IDS[0]},30,dog,train\n{IDS[1]},20,cat,test\n')

    def convert_from(root: str, out: str):
        return run(
            '--dataset', 'vggsound', '--videos', f'{root}/videos', '--annotations', root,
            '--out', f'{root}/{out}',
        )  # fmt: skip

    assert convert_from(f'file://{tmp_path}', 'remote') == convert_from(str(tmp_path), 'local')
    for split in ('train', 'eval'):
        remote, local = (records(tmp_path / out, split) for out in ('remote', 'local'))
        assert remote.keys() == local.keys()
        for key, clip in remote.items():
            assert clip.frames == local[key].frames
            np.testing.assert_array_equal(clip.waveform, local[key].waveform)
    check_times(records(tmp_path / 'remote', 'train')[f'{IDS[0]}#30-40'], 30, 10, cut_out=False)
