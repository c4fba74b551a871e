"""One line for every failure: whose it is, the cause, the path and the remedy."""

import contextlib
import errno
import json
import os
import resource
import sys

import numpy as np
import pydantic
import pytest
import tensorflow as tf

from avmae_tf.cli.failures import explain
from avmae_tf.config import MediaSpec, Spec
from avmae_tf.console import Failed
from avmae_tf.data.dataset import load_dataset
from avmae_tf.storage import open_text, write_text

FULL = '/dev/full'
needs_full = pytest.mark.skipif(not os.path.exists(FULL), reason='no /dev/full here')


def explained(function) -> tuple[str, int]:
    with pytest.raises(Exception) as caught:
        function()
    return explain(caught.value)


def test_our_own_refusals_are_bad_input_and_failures_are_not():
    text, code = explained(lambda: load_dataset('/nowhere'))
    assert code == 2 and text.startswith('/nowhere: no dataset.json here')
    assert explained(lambda: open_text('/nowhere/a')) == (
        '/nowhere/a: No such file or directory',
        2,
    )
    assert explain(Failed('not pushed: why')) == ('not pushed: why', 1)


@pytest.mark.parametrize(
    ('function', 'library', 'message'),
    [
        (lambda: np.zeros(3).reshape(2, 2), None, 'ValueError: cannot reshape'),
        (lambda: np.concatenate([np.zeros(3), np.zeros((2, 2))]), None, 'ValueError: all the'),
        (lambda: json.loads('{'), 'json', 'JSONDecodeError: Expecting'),
        (lambda: tf.constant([1, [2]]), 'tensorflow', 'ValueError: '),
        (lambda: tf.reshape(tf.zeros(3), [2, 2]), 'tensorflow', 'InvalidArgumentError: '),
        (lambda: {}['x'], None, "KeyError: 'x'"),
    ],
)
def test_errors_of_libraries_are_never_bad_input(function, library, message, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['avmae', 'evaluate', '--data', 'd'])
    text, code = explained(function)
    assert code == 1 and text.startswith(message) and len(text.splitlines()) == 1
    assert text.endswith('while running `avmae evaluate`; AVMAE_DEBUG=1 shows where)')
    if library:
        assert f'(in {library}, ' in text


def test_a_value_error_of_a_c_function_in_our_frame_is_no_refusal():
    from avmae_tf.data import audio  # any module of ours

    code = compile("def f():\n    return int('x')\n", 'f', 'exec')
    space = {'__name__': audio.__name__}
    exec(code, space)
    assert explained(space['f'])[1] == 1
    exec(compile("def g():\n    raise ValueError('a: must be b')\n", 'g', 'exec'), space)
    assert explained(space['g']) == ('a: must be b', 2)


def test_wrong_settings_name_the_field_and_those_that_there_are():
    class Inner(Spec):
        speed: int = 1
        colour: str = ''

    class Outer(Spec):
        inner: Inner = Inner()

    def build(**settings):
        return lambda: Outer(inner=settings)

    assert explained(build(colur='x')) == ('inner.colur: no such field; there is colour', 2)
    assert explained(build(x=1)) == ('inner.x: no such field; there is speed, colour', 2)
    assert explained(build(speed='x'))[0].startswith('inner.speed: Input should be a valid int')
    with pytest.raises(pydantic.ValidationError, match='no such field'):
        MediaSpec(fps=3)


@pytest.mark.parametrize(
    ('message', 'expected'),
    [
        (
            '{{function_node __wrapped__SaveV2_device_/job:localhost/task:0/device:CPU:0}} '
            '/mnt/a b/ck_temp/part-0; No space left on device [Op:SaveV2]',
            ('/mnt/a b/ck_temp/part-0: No space left on device; free some space', 1),
        ),
        (
            'Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
            "OSError: [Errno 28] No space left on device: '/mnt/x'\n\n"
            'During handling of the above exception, another exception occurred:\n\n'
            'Traceback (most recent call last):\n  File "y.py", line 2, in g\n'
            "RuntimeError: OSError: [Errno 28] No space left on device: '/mnt/x' "
            "[while running 'ParDo(WriteShard)']\n\n",
            ('/mnt/x: No space left on device; free some space', 1),
        ),
        (
            'tensorflow.python.framework.errors_impl.ResourceExhaustedError: /mnt/f/rec; '
            "No space left on device [while running 'ParDo(WriteShard)']",
            ('/mnt/f/rec: No space left on device; free some space', 1),
        ),
        ('/ro/x; Read-only file system', ('/ro/x: Read-only file system; give another path', 2)),
        ('Error when executing query: database or disk is full query: COMMIT;',
         ('database or disk is full; free some space', 1)),
        (
            'Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
            "KeyError: 'bundle_3'\n",
            ("KeyError: 'bundle_3' (in ", 1),
        ),
        ('in user code:\n\n    File "a.py", line 3\n\n    ValueError: Dimension 1\n',
         ('ValueError: Dimension 1 (in ', 1)),
    ],
)  # fmt: skip
def test_the_innermost_cause_is_dug_out(message, expected):
    def fail():
        raise RuntimeError(message)

    text, code = explained(fail)
    assert text.startswith(expected[0]) and code == expected[1]


@needs_full
def test_a_full_disk_is_said_with_path_and_remedy_whoever_writes():
    def with_tensorflow():
        with tf.io.TFRecordWriter(FULL) as writer:
            writer.write(b'x' * 100_000)

    assert explained(with_tensorflow)[0].startswith(f'{FULL}: No space left on device; free some')

    def with_python():
        with open(FULL, 'w') as f:
            f.write('x')

    assert explained(with_python)[1] == 1


@contextlib.contextmanager
def files_of_at_most(size: int):
    """A disk, as it were, that is full after so many bytes of each file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_conversion_that_finds_the_disk_full_says_so_in_one_line_and_goes_on(
    clips, tmp_path, capfd
):
    from beam_jobs.convert import convert
    from beam_jobs.datasets import build_manifest

    manifest, out = build_manifest(str(clips.parent), str(clips)), str(tmp_path / 'out')
    with files_of_at_most(20_000):
        text, code = explained(lambda: convert(manifest, out, MediaSpec(shorter_side_px=32)))
    assert text.startswith(f'{out}/work/.clips-') and ': File too large; raise the limit' in text
    assert code == 1 and 'what is done is kept' in text
    assert 'Traceback' not in capfd.readouterr().err
    assert convert(manifest, out, MediaSpec(shorter_side_px=32)).clips == 64


def test_what_is_written_whole_names_its_file_when_it_cannot_be(tmp_path):
    with files_of_at_most(1000):
        text, code = explained(lambda: write_text(f'{tmp_path}/a.txt', 'x' * 100_000))
    assert text.startswith(f'{tmp_path}/a.txt: File too large; raise the limit') and code == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ('number', 'code'), [(errno.EACCES, 2), (errno.EROFS, 2), (errno.EDQUOT, 1), (errno.EIO, 1)]
)
def test_errors_of_the_system_have_their_exit_codes(number, code):
    text, found = explain(OSError(number, os.strerror(number), '/a/b'))
    assert text.startswith(f'/a/b: {os.strerror(number)}; ') and found == code
