"""What the program does with files it does in `s3://`, too, and a process ends cleanly after it."""

import os
import subprocess
import sys

import pytest
from s3 import S3

from avmae_tf.storage import exists, gfile

LOOKS = """
import os, sys
from avmae_tf import console
console.quiet()
from avmae_tf import folders, storage
root, here = sys.argv[1:]
storage.write_text(f'{root}/one/a.txt', 'one')
storage.write_text(f'{root}/one/b/c.txt', 'two')
assert storage.open_text(f'{root}/one/a.txt').read() == 'one'
assert sorted(storage.names_in(f'{root}/one')) == ['a.txt', 'b']
assert storage.folders_in(root) == [f'{root}/one']
assert storage.exists(f'{root}/one') and not storage.exists(f'{root}/two')
assert storage.is_folder(f'{root}/one/b') and not storage.is_folder(f'{root}/one/a.txt')
with storage.open_binary(f'{root}/one/b/c.txt') as f:
    f.seek(1)
    assert f.read() == b'wo'
folders.link_into(f'{root}/one', f'{root}/linked')
folders.move_into(f'{root}/linked', f'{root}/moved')
folders.copy_into(f'{root}/moved', here)
assert sorted(folders.files_below(here)) == ['a.txt', 'b/c.txt']
assert storage.names_in(f'{root}/linked') == []
import tensorflow as tf
from tfx.dsl.io import fileio
assert fileio.exists(f'{root}/moved/a.txt') and fileio.listdir(f'{root}/moved')
checkpoint = tf.train.Checkpoint(v=tf.Variable(1.0))
manager = tf.train.CheckpointManager(checkpoint, f'{root}/checkpoints', max_to_keep=2)
for _ in range(3):
    manager.save()
with tf.io.TFRecordWriter(f'{root}/records') as writer:
    writer.write(b'record')
assert [*tf.data.TFRecordDataset(f'{root}/records').as_numpy_iterator()] == [b'record']
print('done')
sys.exit(3)
"""


@pytest.fixture(scope='module')
def bucket():
    with S3('bucket') as bucket:
        yield bucket


def test_files_and_folders_in_s3_are_as_those_here_and_a_process_ends_with_its_own_code(
    bucket, tmp_path
):
    done = subprocess.run(
        [sys.executable, '-c', LOOKS, bucket.path('root'), tmp_path / 'here'],
        capture_output=True,
        text=True,
        env={**os.environ, **bucket.environment},
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, 'done\n', '')
    assert bucket.read('root/moved/b/c.txt') == b'two'
    names = {name for name in bucket.objects('root/checkpoints/') if not name.endswith('/')}
    assert {n.removeprefix('root/checkpoints/') for n in names} == {
        'checkpoint',
        *(f'ckpt-{i}.{part}' for i in (2, 3) for part in ('index', 'data-00000-of-00001')),
    }


@pytest.mark.parametrize(
    'path', ['https://example.org/clips', 'az://account/container/a', 'hdfs://a/b', 'S3://bucket/a']
)
def test_an_address_of_another_kind_is_refused_by_name(path):
    for look in exists, gfile:
        with pytest.raises(
            ValueError, match=f'^{path}: must be a path of this machine, gs:// or s3://$'
        ):
            look(path)
