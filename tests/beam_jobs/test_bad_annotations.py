"""What is wrong with annotations is told in one line: file, line, field, rule, value."""

import pytest

from beam_jobs.datasets import build_manifest

AUDIOSET = 'index,mid,display_name\n0,/m/a,A\n'
EPIC = 'narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n'


def refusal(folder, name: str, files: dict[str, str | bytes], **options) -> str:
    """The one line that those annotations are refused with."""
    for file, text in files.items():
        (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    source = folder / 'f.csv' if name == 'folder' else folder
    with pytest.raises(ValueError) as error:
        build_manifest(str(folder), str(source), name=name, **options)
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
    manifest = build_manifest(str(tmp_path), str(tmp_path), name='ave')
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


QUOTES = {  # data set: (file, lines of which the second has an open quote)
    'folder': ('f.csv', 'path,label\na.mp4,"dog\nb.mp4,cat\n'),
    'vggsound': ('vggsound.csv', 'a,0,dog,train\nb,0,"cat,test\nc,0,cat,test\n'),
    'audioset': ('eval_segments.csv', 'a, 0, 10, "/m/a"\nb, 0, 10, "/m/a\nc, 0, 10, "/m/a"\n'),
    'ave': ('trainSet.txt', 'Bark&a&good&0&10\n"Bark&b&good&0&10\nBark&c&good&0&10\n'),
    'epic-kitchens': ('EPIC_100_train.csv', f'{EPIC}n,"v,0,1,0,0\nm,w,0,1,0,0\n'),
}


@pytest.mark.parametrize('name', QUOTES)
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_a_quote_that_is_not_closed_is_named_with_its_own_line(tmp_path, name, end):
    file, text = QUOTES[name]
    files = {file: text.replace('\n', end), 'class_labels_indices.csv': AUDIOSET}
    line = refusal(tmp_path, name, files)
    assert line == f'{file}, line 2: a quote is not closed; a field ends with its line'
    files[file] = text.replace('\n', end).strip() + '"'  # closed again, lines later
    assert refusal(tmp_path, name, files) == line


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('path,label\na.mp4,dog\nb.mp4,"cat', 'line 3: a quote is not closed'),
        ('path,label\na.mp4,"dog"s\n', "line 2: must be fields, separated as published, got ','"),
        ('path,label\na.mp4,dog\n\nb.mp4\n', "line 4: not 2 fields, got ['b.mp4']"),
        ('path;label\na.mp4;dog\n', 'separated by commas; path missing, got'),
        ('path\tlabel\na.mp4\tdog\n', 'separated by commas; path missing, got'),
        ('sep=,\npath,label\na.mp4,dog\n', 'the first line must name the columns path'),
        ('path,label,\na.mp4,dog,\n', "unknown columns ['']"),
        ('path,label\na.mp4,dog,\n', "line 2: not 2 fields, got ['a.mp4', 'dog', '']"),
        ('path,label\n,\n', 'line 2: path must be some text'),
        ('path,label,label\na.mp4,dog,cat\n', 'a column must be there once, got label twice'),
        ('path,label\na.mp4,do\0g\n', 'line 2: must be text in UTF-8, got a NUL character'),
        ('path,label\na.mp4,do\rg\n', "line 3: not 2 fields, got ['g']"),
        ('path,label\na.mp4,dog\n'.encode('utf-16'), 'f.csv: must be text in UTF-8'),
        ('path,label\na.mp4,dog\n'.encode('utf-16-le'), 'line 1: must be text in UTF-8, got a NUL'),
        ('path,start\na.mp4,1:-30\n', "line 2: start must be seconds, got '1:-30'"),
        ('path,start\na.mp4,1_0\n', "line 2: start must be seconds, got '1_0'"),
    ],
)
def test_what_spreadsheets_make_of_a_list_is_refused_by_file_and_line(tmp_path, text, message):
    line = refusal(tmp_path, 'folder', {'f.csv': text})
    assert line.startswith('f.csv') and message in line


@pytest.mark.parametrize(
    'text',
    [
        'Path,LABEL\na.mp4,"dog, big"\n',
        'path, label\na.mp4, "dog, big"\n',
        '\ufeffpath,label\r\na.mp4,"dog, big"\r\n\r\n',
        'path,label\ra.mp4,"dog, big"\r',
        '"path","label"\n"a.mp4","dog, big"',
    ],
)
def test_what_spreadsheets_make_of_a_list_is_read_where_it_is_plain(tmp_path, text):
    (tmp_path / 'f.csv').write_bytes(text.encode())
    (row,) = build_manifest(str(tmp_path), str(tmp_path / 'f.csv')).rows
    assert (row.video, row.labels) == ('a.mp4', {'label': ('dog, big',)})


SEGMENT = 'index,mid,display_name\n0,/m/a,A\n1,/m/b,B\n'
ANOTHER = {  # data set: (files, the line that contradicts, and the one that it does)
    'folder': (
        {'f.csv': 'path,label\na.mp4,dog\nb.mp4,cat\na.mp4,cat\n'},
        'f.csv, line 4: a.mp4 has another label (cat) than in f.csv, line 2 (dog); several labels '
        'of a clip go in one line, separated by |',
    ),
    'vggsound': (
        {'vggsound.csv': 'a,0,people eating,train\na,0,dog barking,test\n'},
        'vggsound.csv, line 2: a#0-10 has another label (dog barking) than in vggsound.csv, line 1 '
        '(people eating); keep one of the two lines',
    ),
    'audioset': (
        {
            'class_labels_indices.csv': SEGMENT,
            'balanced_train_segments.csv': 'a, 0, 10, "/m/a,/m/b"\n',
            'eval_segments.csv': 'a, 0, 10, "/m/b"\n',
        },
        'eval_segments.csv, line 1: a#0-10 has another label (B) than in '
        'balanced_train_segments.csv, line 1 (A|B); keep one of the two lines',
    ),
    'epic-kitchens': (
        {'EPIC_100_train.csv': f'{EPIC}n,v,0,1,0,0\nn,v,0,1,0,1\n'},
        'EPIC_100_train.csv, line 3: n has another label (1|0) than in EPIC_100_train.csv, line 2 '
        '(0); keep one of the two lines',
    ),
    'ave': (
        {'trainSet.txt': 'Bark&a&good&0&9\n', 'testSet.txt': 'Bark&a&good&1&10\n'},
        'testSet.txt, line 1: a#Bark has other seconds than in trainSet.txt, line 1; keep one of '
        'the two lines',
    ),
}


@pytest.mark.parametrize('name', ANOTHER)
def test_lines_that_contradict_each_other_are_named_both(tmp_path, name):
    files, message = ANOTHER[name]
    assert refusal(tmp_path, name, files) == message


def test_two_actions_of_one_name_are_named_both(tmp_path):
    files = {'EPIC_100_train.csv': f'{EPIC}n,v,0,1,0,0\nn,v,5,6,0,0\n'}
    assert refusal(tmp_path, 'epic-kitchens', files) == (
        'EPIC_100_train.csv, line 3: n is another clip than in EPIC_100_train.csv, line 2; '
        'keep one of the two lines'
    )


def test_a_clip_that_is_named_again_keeps_its_labels_and_the_held_out_split(tmp_path):
    (tmp_path / 'f.csv').write_text(
        'path,label,split\na.mp4,dog|cat,eval\nb.mp4,dog,train\nb.mp4,,eval\nc.mp4,,\n'
        'a.mp4,cat|Dog|dog,train\nc.mp4,dog,train\nd.mp4,dog,train\nd.mp4,dog,train\n'
    )
    manifest = build_manifest(str(tmp_path), str(tmp_path / 'f.csv'))
    assert {row.video: (row.split, row.labels['label']) for row in manifest.rows} == {
        'a.mp4': ('eval', ('dog', 'cat')),
        'b.mp4': ('eval', ('dog',)),
        'c.mp4': ('train', ('dog',)),
        'd.mp4': ('train', ('dog',)),
    }
    assert manifest.named_twice == 4 and manifest.leaked == {'a.mp4', 'b.mp4'}


OUTSIDE = (
    *('../x.mp4', 'a/../../x.mp4', '..', '/etc/passwd', '//host/x.mp4', 'C:\\x.mp4', 'c:/x.mp4'),
    *('..\\x.mp4', '\\\\host\\x.mp4', 'http://h/x.mp4', 'file:///etc/passwd', 'gs://b/x.mp4'),
)


@pytest.mark.parametrize('path', OUTSIDE)
def test_a_path_out_of_the_folder_of_videos_is_refused(tmp_path, path):
    line = refusal(tmp_path, 'folder', {'f.csv': f'path\nb.mp4\n{path}\n'})
    assert line.startswith('f.csv, line 3: a path must be below the folder of videos, got ')
    assert '--allow-outside' in line and 'data.allow_outside: true' in line


@pytest.mark.parametrize(
    ('name', 'files'),
    [
        ('vggsound', {'vggsound.csv': '../v,0,dog,train\n'}),
        ('ave', {'trainSet.txt': 'Bark&/v&good&0&10\n'}),
        ('epic-kitchens', {'EPIC_100_train.csv': f'{EPIC}n,../v,0,1,0,0\n'}),
        (
            'audioset',
            {'class_labels_indices.csv': AUDIOSET, 'eval_segments.csv': '/v, 0, 10, "/m/a"\n'},
        ),
    ],
)
def test_no_list_leads_out_of_the_folder_of_videos(tmp_path, name, files):
    assert 'a path must be below the folder of videos' in refusal(tmp_path, name, files)


def test_what_is_allowed_or_linked_outside_is_found(tmp_path):
    videos = tmp_path / 'videos'
    videos.mkdir()
    for name in ('x.mp4', 'y.mp4', 'z.mp4'):
        (tmp_path / name).write_text(name)
    (videos / 'link.mp4').symlink_to('../x.mp4')
    (tmp_path / 'inside.csv').write_text('path\nlink.mp4\nsub/../link.mp4\nodd: ..name.mp4\n')
    rows = build_manifest(str(videos), str(tmp_path / 'inside.csv')).rows
    assert [(row.video, row.is_found) for row in rows] == [
        ('link.mp4', True), ('odd: ..name.mp4', False),
    ]  # fmt: skip
    (tmp_path / 'outside.csv').write_text(f'path\n../y.mp4\n{tmp_path}/z.mp4\nhttp://h/x.mp4\n')
    rows = build_manifest(str(videos), str(tmp_path / 'outside.csv'), allow_outside=True).rows
    assert [row.is_found for row in rows] == [True, True, False]
