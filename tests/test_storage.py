"""Files are written whole or not at all, here and where TensorFlow reaches."""

import hashlib
import os

import pytest

from avmae_tf.storage import (
    check_folder,
    exists,
    is_folder,
    open_text,
    path_in,
    replaced,
    short_hash,
    write_text,
    written,
)


@pytest.mark.parametrize('scheme', ['', 'file://'])
def test_what_is_written_is_read_wherever_it_is(tmp_path, scheme):
    path = f'{scheme}{tmp_path}/new/folder/a.txt'
    write_text(path, 'één\r\ntwo\n')
    with open_text(path) as f:
        assert f.read() == 'één\r\ntwo\n'
    assert exists(path) and not is_folder(path)
    assert is_folder(os.path.dirname(path))
    assert os.listdir(tmp_path / 'new/folder') == ['a.txt']
    with pytest.raises(ValueError, match=r'b.txt: .*[Nn]o such file'):
        open_text(path.replace('a.txt', 'b.txt'))


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / 'a.txt').write_bytes(b'\xef\xbb\xbfpath')
    for scheme in ('', 'file://'):
        assert open_text(f'{scheme}{tmp_path}/a.txt').read() == 'path'


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a').write_text('mine')
    for path in ('a', 'a/new/folder', f'{tmp_path}/a/new', f'file://{tmp_path}/a'):
        with pytest.raises(ValueError, match=r'\ba: must be a folder to write to, and is a file'):
            check_folder(path)
    for path in ('.', 'b', 'b/new', f'{tmp_path}/b', f'file://{tmp_path}/b/new'):
        check_folder(path)


def test_half_a_file_is_none(tmp_path):
    write_text(str(tmp_path / 'a.txt'), 'whole')
    with pytest.raises(KeyError), written(str(tmp_path / 'a.txt')) as f:
        f.write('half')
        raise KeyError
    assert (tmp_path / 'a.txt').read_text() == 'whole'
    assert os.listdir(tmp_path) == ['a.txt']


def test_what_is_not_whole_waits_in_the_folder_that_is_given(tmp_path):
    with replaced(f'{tmp_path}/a/b.txt', f'{tmp_path}/work') as name:
        with open(name, 'w') as f:
            f.write('whole')
        assert os.path.dirname(name) == f'{tmp_path}/work'
        assert os.listdir(tmp_path / 'a') == []
    assert (tmp_path / 'a/b.txt').read_text() == 'whole'
    assert os.listdir(tmp_path / 'work') == []


@pytest.mark.parametrize(
    ('file', 'path', 'meant'),
    [
        ('/a/b.yaml', 'c', '/a/c'),
        ('/a/b.yaml', '../c', '/c'),
        ('/a/b.yaml', '/c', '/c'),
        ('/a/b.yaml', 'gs://c', 'gs://c'),
        ('gs://a/b.yaml', 'c', 'gs://a/c'),
        ('gs://a/b.yaml', '/c', '/c'),
    ],
)
def test_a_path_in_a_file_is_relative_to_the_file(file, path, meant):
    assert path_in(file, path) == meant


def test_a_short_hash_is_of_all_chunks_as_one():
    expected = hashlib.sha256(b'abcd').hexdigest()[:16]
    assert short_hash([b'ab', b'', b'cd']) == short_hash([b'abcd']) == expected
