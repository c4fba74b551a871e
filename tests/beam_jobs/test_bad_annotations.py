"""What is wrong with annotations is told in one line: file, line, field, rule, value."""

import pytest

from beam_jobs.datasets import plan_dataset

AUDIOSET = 'index,mid,display_name\n0,/m/a,A\n'
EPIC = 'narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n'


def refusal(folder, name: str, files: dict[str, str | bytes], **options) -> str:
    """The one line that those annotations are refused with."""
    for file, text in files.items():
        (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    source = folder / 'f.csv' if name == 'folder' else folder
    with pytest.raises(ValueError) as error:
        plan_dataset(str(folder), str(source), name=name, **options)
    assert type(error.value) is ValueError and len(str(error.value).splitlines()) == 1
    return str(error.value).replace(f'{folder}/', '')


@pytest.mark.parametrize(
    ('text', 'got'),
    [
        ('{bad', 'JSONDecodeError: '),
        ('[{"id": "/m/3"}]', "KeyError: 'name'"),
        ('{"a": 1}', 'TypeError: '),
        (b'caf\xe9', 'UnicodeDecodeError: '),
    ],
)
def test_a_damaged_ontology_is_named(tmp_path, text, got):
    files = {
        'class_labels_indices.csv': AUDIOSET,
        'eval_segments.csv': 'v, 0, 10, "/m/3"\n',
        'ontology.json': text,
    }
    line = refusal(tmp_path, 'audioset', files)
    assert 'ontology.json: must be a JSON list of classes with id and name' in line
    assert f'got {got}' in line


@pytest.mark.parametrize(
    ('name', 'file', 'others'),
    [
        ('folder', 'classes.txt', {'f.csv': 'path,label\na.mp4,dog\n'}),
        ('folder', 'f.csv', {}),
        ('vggsound', 'vggsound.csv', {}),
        ('audioset', 'class_labels_indices.csv', {'eval_segments.csv': 'v, 0, 10, "/m/a"\n'}),
        ('audioset', 'eval_segments.csv', {'class_labels_indices.csv': AUDIOSET}),
        ('ave', 'valSet.txt', {'trainSet.txt': 'Bark&v&good&0&10\n'}),
    ],
)
def test_bytes_that_are_no_utf_8_are_blamed_on_their_own_file(tmp_path, name, file, others):
    line = refusal(tmp_path, name, {**others, file: b'caf\xe9'})
    assert line.startswith(f'{file}: must be text in UTF-8')


def test_bytes_that_are_no_utf_8_are_blamed_on_the_subset(tmp_path):
    (tmp_path / 'ids.txt').write_bytes(b'caf\xe9')
    files, subset = {'vggsound.csv': 'a,0,dog,train\n'}, str(tmp_path / 'ids.txt')
    line = refusal(tmp_path, 'vggsound', files, subset=subset)
    assert line.startswith('ids.txt: must be text in UTF-8')


def test_a_misspelt_event_is_named_with_the_nearest_of_all_annotations(tmp_path):
    bell, bark = 'Church bell&a&good&0&10\n', 'Bark&b&good&0&10\n'
    files = {
        'Annotations.txt': bell + bark,
        'trainSet.txt': bell,
        'valSet.txt': 'Chruch bell&c&good&0&10\n',
    }
    assert refusal(tmp_path, 'ave', files) == (
        "valSet.txt, line 1: 'Chruch bell' is none of the 3 classes of 'event'; "
        "the nearest: 'Church bell'"
    )
    (tmp_path / 'valSet.txt').write_text('church  BELL&c&good&0&10\n')
    manifest = plan_dataset(str(tmp_path), str(tmp_path), name='ave')
    assert manifest.heads == {'event': ('Bark', 'Church bell', 'background')}


@pytest.mark.parametrize(
    ('name', 'files', 'message'),
    [
        ('folder', {'f.csv': 'path,label\n,a\n'}, 'f.csv, line 2: path must'),
        ('vggsound', {'vggsound.csv': ' ,0,l,train\n'}, 'vggsound.csv, line 1: YouTube id must'),
        (
            'audioset',
            {'class_labels_indices.csv': AUDIOSET, 'eval_segments.csv': ', 0, 10, "/m/a"\n'},
            'eval_segments.csv, line 1: YTID must',
        ),
        ('ave', {'trainSet.txt': 'Bark&&good&0&10\n'}, 'trainSet.txt, line 1: VideoID must'),
        (
            'epic-kitchens',
            {'EPIC_100_train.csv': f'{EPIC}n,,0,1,0,0\n'},
            'EPIC_100_train.csv, line 2: video_id must',
        ),
    ],
)
def test_an_empty_id_is_named_with_its_line_and_field(tmp_path, name, files, message):
    assert refusal(tmp_path, name, files) == f'{message} be some text, got an empty field'


@pytest.mark.parametrize(
    ('name', 'files', 'message'),
    [
        (
            'folder',
            {'f.csv': 'path,label\na.mp4,dog\n', 'classes.txt': 'Dog\n\ncat\ndog\n'},
            "classes.txt, line 4: a class must be there once, got 'dog' as in classes.txt, line 1",
        ),
        (
            'audioset',
            {
                'class_labels_indices.csv': f'{AUDIOSET}1,/m/a,B\n',
                'eval_segments.csv': 'v, 0, 10, "/m/a"\n',
            },
            "class_labels_indices.csv, line 3: mid must be there once, got '/m/a' as in",
        ),
        (
            'epic-kitchens',
            {
                'EPIC_100_train.csv': f'{EPIC}n,v,0,1,0,0\n',
                'EPIC_100_verb_classes.csv': 'id,key\n5,wash\n05,cut\n',
            },
            "EPIC_100_verb_classes.csv, line 3: id must be there once, got '5' as in",
        ),
        (
            'ave',
            {'trainSet.txt': 'Bark&a&good&0&9\nBackground&v&good&0&10\n'},
            "trainSet.txt, line 2: Category must be an event, got 'Background'",
        ),
    ],
)
def test_a_class_that_is_there_twice_is_named_with_its_line(tmp_path, name, files, message):
    assert refusal(tmp_path, name, files).startswith(message)
