"""The compiler: how it is asked and what becomes of its answers; then Google's, on the demo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from avmae_tf.cli import recipes
from avmae_tf.config import PRETRAIN_RECIPES
from avmae_tf.tpu import compiler
from avmae_tf.tpu.chips import topology_of
from avmae_tf.tpu.lowering import Lowered, lower

ROOT = Path(__file__).parent.parent.parent
V5E = topology_of('v5e:2x2')
DEMO = PRETRAIN_RECIPES['demo']


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Puts a script in the place of the compiler's Python."""

    def answer(script: str):
        python = tmp_path / 'bin/python'
        python.parent.mkdir(exist_ok=True)
        python.write_text(f'#!/bin/sh\n{script}\n')
        python.chmod(0o755)
        (tmp_path / 'ready').touch()
        monkeypatch.setenv(compiler.ENVIRONMENT, str(tmp_path))

    return answer


def test_without_the_compiler_one_line_says_which_command_installs_it(here, tmp_path, monkeypatch):
    monkeypatch.setenv(compiler.ENVIRONMENT, str(tmp_path))
    (tmp_path / 'bin').mkdir()  # begun, but not ready
    done = here('inspect', '--recipe', 'demo', '--tpu', 'v5e:2x2')
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: {tmp_path}: ') and '`make setup-tpu` installs it' in line


def test_time_and_share_of_the_peak_follow_from_the_cycles(answers):
    found = {'outcome': 'compiles', 'cycles': 3_000_000, 'peak_gib': 1.5}
    answers(f"test -s $3 && test $4 = v5e:2x2 && echo '{json.dumps(found)}'")
    step = compiler.compile_step(Lowered('train', b'module'), V5E, DEMO, {})
    assert (step.outcome, step.peak_gib, step.clips) == ('compiles', 1.5, 16)
    assert step.milliseconds == pytest.approx(2.0)  # at 1.5 GHz
    flops = 16 * 3 * 147e6  # 3.5 GFLOP for 8 clips, as `avmae inspect` counts them
    assert step.share_of_peak == pytest.approx(flops / 0.002 / 196.6e12, rel=0.01)


def test_the_memory_of_the_compiler_is_not_that_of_the_process_that_starts_it():
    ballast = bytearray(300 << 20)
    script = 'from avmae_tf.tpu import ahead; print(ahead.peak_gib())'
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, cwd=ROOT)
    assert float(done.stdout) < len(ballast) / 2**30


@pytest.mark.parametrize(
    ('script', 'reason'), [('kill -SEGV $$', 'SIGSEGV'), ('echo no jax >&2; exit 1', 'no jax')]
)
def test_a_compiler_that_dies_is_told_by_how(answers, script, reason):
    answers(script)
    found = compiler.compile_module(b'module', 'v5e:2x2')
    assert (found.outcome, found.reason) == ('crashed', reason)


def test_what_xla_lacks_is_refused_without_asking(answers):
    answers('exit 1')
    step = compiler.compile_step(Lowered('train', refused='StringFormat'), V5E, DEMO, {})
    assert (step.outcome, step.reason) == ('refused', 'StringFormat')


def test_a_batch_that_the_cores_cannot_share_is_refused(here, answers):
    answers('exit 1')
    done = here('inspect', '--recipe', 'demo', '--tpu', 'v3:4x4')
    assert done.returncode == 2
    assert 'multiple of the 32 cores of v3:4x4, got 16' in done.stderr


@pytest.mark.parametrize('option', [('--tpu', 'v5e:2x2'), ('--set', 'seed=1')])
def test_options_of_a_recipe_need_one(here, option):
    done = here('inspect', '--model', 'tiny', *option)
    assert done.returncode == 2 and f'{option[0]} needs --recipe' in done.stderr


def test_settings_of_the_recipe_can_be_changed(here):
    changed = recipes.recipe_of('demo', None, ('schedule.batch_size=4', 'encoder=early'))
    assert changed == DEMO.replace(
        schedule=DEMO.schedule.replace(batch_size=4), encoder={'kind': 'early'}
    )


@pytest.fixture(scope='module')
def installed():
    """Google's compiler, in the folder where `make setup-tpu` puts it."""
    folder = Path(os.environ.get(compiler.ENVIRONMENT) or ROOT / '.tpu')
    if not (folder / 'ready').exists():
        made = subprocess.run(
            [ROOT / '.ci/setup-tpu', folder, Path(sys.executable).parent],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            pytest.skip(f'no TPU compiler: {made.stderr.strip()[-500:]}')


@pytest.mark.slow
@pytest.mark.usefixtures('installed')
def test_the_steps_of_the_demo_compile_for_a_tpu(here):
    done = here('inspect', '--recipe', 'demo', '--tpu', 'v5e:2x2', '--json')
    assert done.returncode == 0, done.stderr
    train, test = json.loads(done.stdout)['tpu']
    assert (train['step'], test['step'], train['clips']) == ('train', 'eval', 4)
    for step in (train, test):
        assert step['outcome'] == 'compiles', step['reason']
        assert 0.001 < step['arguments_gib'] < step['peak_gib'] < 1.0
        assert 0.001 < step['share_of_peak'] < 0.5 and step['cpu_seconds'] < 180
    assert train['milliseconds'] > test['milliseconds'] > 0
    assert train['arguments_gib'] > test['arguments_gib']  # the state of Adam


@pytest.mark.slow
@pytest.mark.usefixtures('installed')
def test_what_a_core_has_no_room_for_is_too_large():
    total = tf.Variable(0.0)
    lowered = lower(
        'train',
        lambda batch: total.assign(tf.reduce_sum(batch['x'])),
        {'x': tf.TensorSpec([8, 1024, 1 << 20])},
    )
    found = compiler.compile_module(lowered.module, 'v5e:2x2')
    assert found.outcome == 'too large' and found.peak_gib == pytest.approx(32, rel=0.05)
