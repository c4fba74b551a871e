"""The command: help without weight, exit codes, and messages that name the fix."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from avmae_tf.cli import VERBS

AVMAE = [str(Path(sys.executable).with_name('avmae'))]


def avmae(*arguments, **environment):
    return subprocess.run(
        [*AVMAE, *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_help_imports_nothing_heavy():
    code = (
        'import sys; sys.argv = ["avmae", "--help"]\n'
        'from avmae_tf.cli import main\n'
        'try: main()\n'
        'finally: print({"tensorflow", "apache_beam", "numpy"} & set(sys.modules), file=sys.stderr)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stderr.strip() == 'set()'
    assert 'avmae demo' in done.stdout


@pytest.mark.parametrize('verb', VERBS)
def test_every_verb_has_help(verb):
    done = avmae(verb, '--help')
    assert done.returncode == 0 and len(done.stdout) > 150


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nothing'], 'No such command'),
        (['convert', '--videos', '/nowhere', '--out', '/tmp/x'], '/nowhere: no such folder'),
        (['pretrain', '--data', '/nowhere', '--workdir', '/tmp/x'], '/nowhere: no dataset.json'),
        (['demo', '--workdir', 'gs://b/demo'], 'must be a folder of this machine, got gs://b/demo'),
        (
            ['demo', '--workdir', str(Path(__file__).parent)],
            'holds other files; give a new or empty',
        ),
        (['parity', os.devnull], '/dev/null: cannot be read as a fixture'),
        (['predict', '--model', 'm', '--top', '0', 'a.mp4'], '0 is not in the range x>=1'),
        (['convert', '--videos', '/nowhere', '--out', 'x', '--fps', '1e6'], 'frames_per_second: '),
        (['inspect', '/nowhere'], '/nowhere: neither records, nor a model'),
        (['predict', '--model', '/nowhere', 'a.mp4'], '/nowhere: neither a SavedModel'),
        (['pipeline', 'run', '--config', '/nowhere.yaml'], '/nowhere.yaml: No such file'),
        (
            ['pretrain', '--data', 'd', '--workdir', 'w', '--set', 'schedule.epochs=none'],
            'schedule.epochs: ',
        ),
        (
            ['pretrain', '--data', 'd', '--workdir', 'w', '--recipe', 'x'],
            "must be one of ['audioset-base'",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(here, arguments, message):
    done = here(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and 'Traceback' not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4  # click adds a line of usage


@pytest.mark.parametrize(
    'arguments',
    [
        ('nothing',),
        ('pretrain', '--data', '/nowhere', '--workdir', '/tmp/x'),
        ('pipeline', 'run', '--config', '/nowhere.yaml'),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_process_says_what_is_said_here(here, arguments):
    done = avmae(*arguments)
    said, expected = done.stderr.splitlines(), here(*arguments).stderr.splitlines()
    assert done.returncode == 2 and len(said) == len(expected)
    assert said[-1] == expected[-1]  # those of usage name the program, which is pytest here


def test_clips_then_convert_without_a_word_of_the_libraries(here, tmp_path):
    done = avmae('clips', tmp_path / 'clips', '--train', 16, '--eval', 16)
    assert done.returncode == 0
    assert done.stdout.strip().endswith(f'{tmp_path}/clips/annotations.csv')

    (tmp_path / 'clips/train/extra.mp4').write_text('not a video')
    with open(tmp_path / 'clips/annotations.csv', 'a') as f:
        f.write('train/extra.mp4,square+flute,train\n')
    arguments = (
        '--videos', tmp_path / 'clips', '--annotations', tmp_path / 'clips/annotations.csv',
        '--out', tmp_path / 'records', '--side', 32,
    )  # fmt: skip
    done = avmae('convert', *arguments)
    assert done.returncode == 0, done.stderr
    assert 'set aside unreadable' in done.stdout and 'extra.mp4' in done.stdout
    assert f'32 clips (16 eval, 16 train) in {tmp_path}/records' in done.stdout
    noise = [line for line in done.stderr.splitlines() if not line.startswith('  ')]
    assert noise == []

    again = here('convert', *arguments, '--json')
    assert json.loads(again.stdout)['set_aside'] == {'unreadable': 1}

    other = *arguments[:4], '--out', tmp_path / 'other', '--earlier', tmp_path / 'records'
    assert here('convert', *other, '--side', 32).stdout.count('32 of 32 clips as an earlier') == 1
    refused = here('convert', *other, '--side', 24)
    assert refused.returncode == 2 and 'records: holds records of other settings' in refused.stderr
    refused = here('convert', *other[:-1], tmp_path / 'clips', '--side', 32)
    assert refused.returncode == 2 and 'clips: no records of `avmae convert` here' in refused.stderr

    video = next((tmp_path / 'clips/train').glob('*.mp4')).name
    times, short = ('0.5,0.8', '0.5,1.5'), tmp_path / 'short.csv'
    short.write_text('path,label,start,end\n' + ''.join(f'train/{video},x,{t}\n' for t in times))
    for least, clips in ((0.5, 1), (0.3, 2)):
        settings = '--annotations', short, '--out', tmp_path / f'least-{least}'
        settings = *arguments[:2], *settings, '--min-seconds', least, '--json'
        found = json.loads(here('convert', *settings).stdout)
        expected = {'too_short': 1} if clips == 1 else {}
        assert (found['clips'], found['set_aside']) == (clips, expected)

    plan = here('convert', *arguments, '--dry-run', '--json')
    assert json.loads(plan.stdout)['splits']['train']['found'] == 17
    assert plan.stdout.strip() == (tmp_path / 'records/plan.json').read_text()
