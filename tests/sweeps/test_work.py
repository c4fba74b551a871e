"""Runs are trained once, in order, by whoever has them in hand; results tell of them."""

import csv
import json
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from avmae_tf import console
from avmae_tf.data.locks import held
from avmae_tf.sweeps import report, work
from avmae_tf.sweeps.cells import HOURS, TOP1, Cell, Finetuning, Pretraining, Sweep
from avmae_tf.sweeps.runs import in_order, plan
from avmae_tf.sweeps.scales import SCALES

SCALE = SCALES['mini']
FROM_ONE, SCRATCH = Finetuning((Pretraining(),)), Finetuning()
SWEEP = Sweep(
    'A table',
    (
        Cell('ours', 'AV', FROM_ONE, TOP1, 63.5),
        Cell('ours', 'hours', FROM_ONE, HOURS, 89.2),
        Cell('scratch', 'AV', SCRATCH, TOP1),
        Cell('other data', 'AV', Finetuning(data='ave'), TOP1, 90.2),
        Cell('ours', 'loss', Pretraining(), 'loss'),
        Cell('ours', 'retrieval', Pretraining(), 'audio_to_video_recall_at_1'),
    ),
)
INPUTS = {'vggsound': '/data/vggsound'}
COMMAND = """
    import json, os, sys, time
    given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
    verb, folder = sys.argv[1], given.get('--workdir') or given.get('--out')
    with open(os.environ['CALLS'], 'a') as f:
        f.write(json.dumps(sys.argv[1:]) + '\\n')
    if number := os.environ.get('MEETS'):  # goes on when so many are at work
        with open(os.environ['CALLS'] + '-pids', 'a') as f:
            print(os.getpid(), os.environ['TF_NUM_INTRAOP_THREADS'], file=f)
            assert os.environ['CUDA_VISIBLE_DEVICES'] == ''
        until = time.monotonic() + 60
        while len(open(os.environ['CALLS'] + '-pids').readlines()) < int(number):
            assert time.monotonic() < until, 'alone'
            time.sleep(0.02)
    if verb == 'evaluate':
        print(json.dumps({'audio_to_video_recall_at_1': 0.125}))
        sys.exit()
    with open(given['--recipe']) as f:
        settings = json.load(f)
    if os.environ.get('FAILS') == verb:
        print('a line\\n' + os.environ['SAYS'], file=sys.stderr)
        sys.exit(1)
    os.makedirs(folder)
    figure = {'pretrain': 2.0, 'finetune': 0.5 + 0.1 * settings['seed']}[verb]
    with open(folder + '/run.json', 'w') as f:
        json.dump({'scalars': {{'pretrain': 'loss', 'finetune': 'top1'}[verb]: figure}}, f)
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The command is a script that writes what was asked of it; all that it was asked."""
    script, log = tmp_path / 'command.py', tmp_path / 'calls'
    script.write_text(textwrap.dedent(COMMAND))
    monkeypatch.setattr(work, '_COMMAND', [sys.executable, str(script)])
    monkeypatch.setattr(work, 'WAIT_SECONDS', 0.05)
    monkeypatch.setenv('CALLS', str(log))
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def planned():
    return plan(SWEEP, SCALE, seeds=2)


def carry_out(root, planned, **how):
    evaluated = [item.run.name for item in planned if item.run and item.evaluated]
    work.carry_out(str(root), in_order(planned), INPUTS, evaluated, lambda line: None, **how)


def test_each_run_is_trained_once_after_what_it_starts_from(calls, planned, tmp_path):
    root = tmp_path / 'root'
    carry_out(root, planned)
    trained = [call for call in calls() if call[0] != 'evaluate']
    assert [call[0] for call in trained] == ['pretrain', 'finetune', 'finetune'] * 2
    for pretrain, ours, scratch in (trained[:3], trained[3:]):
        folder = pretrain[pretrain.index('--workdir') + 1]
        assert ours[-2:] == ['--pretrained', f'{folder}/model']
        assert '--pretrained' not in scratch and '/data/vggsound' in scratch
    assert sum(call[0] == 'evaluate' for call in calls()) == 2
    carry_out(root, planned)
    assert len(calls()) == 8


def test_what_another_has_in_hand_is_waited_for(calls, planned, tmp_path):
    root, run = tmp_path / 'root', planned[0].run.before[0]
    folder = work.folder_of(str(root), run)
    code = (
        'import sys, time; from avmae_tf.data.locks import held\n'
        'with held(sys.argv[1], beside=True): print("held", flush=True); time.sleep(600)'
    )
    (root / work.RUNS).mkdir(parents=True)
    other = subprocess.Popen(
        [sys.executable, '-c', code, folder], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == 'held\n'
        thread = threading.Thread(target=carry_out, args=(root, planned))
        thread.start()
        last = in_order(planned)[-1]  # its own runs are done; two wait for the one in hand
        deadline = time.monotonic() + 60
        while not work.result_of(str(root), last) and time.monotonic() < deadline:
            time.sleep(0.1)
        thread.join(0.3)
        verbs = [call[0] for call in calls()]
        assert thread.is_alive()
        assert verbs == ['finetune', 'pretrain', 'evaluate', 'finetune', 'finetune']
    finally:
        other.kill()
        other.wait()
    thread.join(60)
    assert not thread.is_alive() and len(calls()) == 8
    with held(folder, beside=True):
        pass


def test_runs_go_side_by_side_on_one_thread_of_the_cpu_each(calls, planned, tmp_path, monkeypatch):
    monkeypatch.setenv('MEETS', '2')
    carry_out(tmp_path / 'root', planned, jobs=2, threads=1)
    assert len(calls()) == 8
    for call in calls():
        if call[0] != 'evaluate':
            assert call[call.index('--device') + 1] == 'cpu' and '--no-pictures' in call
    lines = (tmp_path / 'calls-pids').read_text().splitlines()
    assert {line.split()[1] for line in lines} == {'1'}


def test_what_trains_beside_a_run_that_fails_is_kept(calls, planned, tmp_path, monkeypatch):
    for name, value in {'MEETS': '2', 'FAILS': 'finetune', 'SAYS': 'error: no room'}.items():
        monkeypatch.setenv(name, value)
    root, (pretraining,) = tmp_path / 'root', planned[0].run.before
    with pytest.raises(console.Failed, match='no room'):
        carry_out(root, planned, jobs=2, threads=1)  # beside it finetunes from scratch
    assert work.result_of(str(root), pretraining)


def test_a_sweep_that_is_told_to_end_ends_its_runs(calls, planned, tmp_path, monkeypatch):
    monkeypatch.setenv('MEETS', '3')  # never
    code = f"""
        from test_work import *
        work._COMMAND = {work._COMMAND!r}
        carry_out({str(tmp_path / 'root')!r}, plan(SWEEP, SCALE, seeds=2), jobs=2, threads=1)
    """
    here = {**os.environ, 'PYTHONPATH': os.path.dirname(__file__)}
    sweep = subprocess.Popen([sys.executable, '-c', textwrap.dedent(code)], env=here)
    pids, deadline = tmp_path / 'calls-pids', time.monotonic() + 60
    while not pids.exists() or len(pids.read_text().splitlines()) < 2:
        assert time.monotonic() < deadline and sweep.poll() is None
        time.sleep(0.05)
    sweep.terminate()
    assert sweep.wait(60) == 143
    assert not any(os.path.exists(f'/proc/{x.split()[0]}') for x in pids.read_text().splitlines())


def test_a_run_that_fails_is_named_and_its_line_is_told(calls, planned, tmp_path, monkeypatch):
    monkeypatch.setenv('FAILS', 'finetune')
    monkeypatch.setenv('SAYS', 'error: no room')
    with pytest.raises(console.Failed, match=rf'{planned[0].run.name}: error: no room'):
        carry_out(tmp_path / 'root', planned)
    monkeypatch.delenv('FAILS')
    carry_out(tmp_path / 'root', planned)
    assert [call[0] for call in calls()].count('pretrain') == 2


def test_a_run_that_diverges_is_a_result(calls, planned, tmp_path, monkeypatch):
    monkeypatch.setenv('FAILS', 'pretrain')
    monkeypatch.setenv('SAYS', 'error: pretrain: loss is not finite at step 50')
    root = str(tmp_path / 'root')
    carry_out(root, planned)
    found = report.figures(planned, root)
    assert found['ours', 'AV'].text == 'diverged (63.5)'
    assert found['ours', 'loss'].text == 'diverged'
    assert found['scratch', 'AV'].text == '55.00 ± 7.07'


def test_the_report_has_every_seed_and_the_papers_figures(calls, planned, tmp_path):
    root = str(tmp_path / 'root')
    carry_out(root, planned)
    paths = report.write_report(SWEEP, planned, root, 'table', 'How it was made.')
    with open(paths['csv'], newline='') as f:
        rows = [row for row in csv.DictReader(f) if row['column'] == 'AV']
    assert [(r['row'], r['seed'], float(r['value']), r['paper']) for r in rows] == [
        ('ours', '0', 50.0, '63.5'), ('ours', '1', 60.0, '63.5'),
        ('scratch', '0', 50.0, ''), ('scratch', '1', 60.0, ''),
    ]  # fmt: skip
    text = (tmp_path / 'root/table.md').read_text()
    lines = {line.split(' | ')[0].strip('| '): line for line in text.splitlines() if ' | ' in line}
    assert '55.00 ± 7.07 (63.5)' in lines['ours']  # mean and deviation of 50 and 60
    assert '2.00 ± 0.00' in lines['ours'] and '12.50 ± 0.00' in lines['ours']
    assert 'there is no ave at this scale (90.2)' in lines['other data']
    assert (tmp_path / 'root/table.png').read_bytes().startswith(b'\x89PNG')
    assert len(list((tmp_path / 'root/logs/table').iterdir())) == 10
