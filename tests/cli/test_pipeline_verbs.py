"""`avmae pipeline` of this machine: what it compiles, what it shows, and what it has no use for."""

import json

import pytest

from avmae_tf.cli.pipelines import pipeline
from avmae_tf.storage import write_text
from components.outcome.component import LAST, Outcome
from pipeline import local_runner
from pipeline.nodes import Finished

FILE = """
name: demo
root: out
data: {videos: clips}
start: scratch
finetune: demo
gate: {min_top1: 0.5, max_loss_of_top1: null}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'pipeline.yaml'
    path.write_text(FILE)
    return path


def outcome(run: str, **settings) -> Outcome:
    known = {'blessed': True, 'compared': True, 'shortfalls': (), 'metrics': {'top1': 0.75}}
    found = {**known, 'left_out': 0, 'report': '/report', 'pushed': '/serving/7', **settings}
    return Outcome(run=run, **found)


VERBS = ('compile', 'run', 'submit', 'status', 'schedule create', 'schedule list')


@pytest.mark.parametrize(
    'verb', [*VERBS, *(f'schedule {x}' for x in ('pause', 'resume', 'delete'))]
)
def test_every_verb_says_what_it_does_and_where(here, verb):
    done = here('pipeline', *verb.split(), '--help')
    assert done.returncode == 0
    assert '--config' in done.stdout and '[local|kubeflow|vertex]' in done.stdout
    assert len(done.stdout.split('Options:')[0].strip().splitlines()) >= 3


def test_all_verbs_are_listed(here):
    listed = here('pipeline', '--help').stdout
    assert {verb.split()[0] for verb in VERBS} == set(pipeline.commands)
    assert all(f'\n  {name} ' in listed for name in pipeline.commands)


def test_compiling_needs_no_videos_and_says_where_the_file_is(here, file, tmp_path):
    folder = tmp_path / 'compiled'
    done = here('pipeline', 'compile', '--config', file, '--out', folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'written to {folder}/local.json\n'
    assert json.loads((folder / 'local.json').read_text())['nodes']
    done = here('pipeline', 'compile', '--config', file, '--out', folder, '--target', 'vertex')
    assert done.returncode == 2 and 'targets.vertex: is missing' in done.stderr


def test_a_local_run_gets_its_parameters(here, file, tmp_path, monkeypatch):
    given = []

    def run(config, say, parameters):
        given.append(parameters)
        return Finished(outcome('1', compared=False), ())

    monkeypatch.setattr(local_runner, 'run', run)
    monkeypatch.chdir(tmp_path)
    arguments = 'pipeline', 'run', '--config', file
    done = here(*arguments, '--set', 'data.videos=new', '--set', 'gate.min_top1=')
    assert done.returncode == 0, done.stderr
    assert given == [{'data.videos': str(tmp_path / 'new'), 'gate.min_top1': ''}]
    assert done.stdout == 'top1       0.7500\npushed to /serving/7\n'
    assert 'the gate has no bounds' in done.stderr  # that of this run, not of the file
    assert 'the gate has no bounds' not in here(*arguments).stderr
    assert here(*arguments, '--set', 'gate.min_top1=2').returncode == 2 and len(given) == 2


def test_the_last_local_runs_are_shown(here, file, tmp_path):
    arguments = 'pipeline', 'status', '--config', file
    assert 'no run has ended yet' in here(*arguments).stderr
    for run, settings in (('2026-01', {}), ('2026-02', {'blessed': False, 'pushed': ''})):
        for name in (run, LAST):
            text = outcome(run, **settings).to_json()
            write_text(str(tmp_path / f'out/outcomes/{name}.json'), text)
    shown = [line.split() for line in here(*arguments).stdout.splitlines()]
    assert shown == [
        ['run', 'gate', 'model'],
        ['2026-02', 'refused'],
        ['2026-01', 'pushed', '/serving/7'],
    ]
    assert here(*arguments, '2026-01').stdout == 'top1       0.7500\npushed to /serving/7\n'
    assert 'not pushed: it was not judged' in here(*arguments, '2026-02').stdout
    assert here(*arguments, '2026-03').returncode == 2


@pytest.mark.parametrize(
    ('verb', 'instead'),
    [
        (['submit'], 'avmae pipeline run --config'),
        (['schedule', 'list'], '0 3 * * 1 avmae pipeline run --config'),
        (['schedule', 'create', '--cron', '5 4 * * 0'], '5 4 * * 0 avmae pipeline run --config'),
    ],
)
def test_what_this_machine_does_not_do_is_told_with_what_to_do_instead(here, file, verb, instead):
    done = here('pipeline', *verb, '--config', file)
    assert done.returncode == 2 and f'{instead} {file}' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_lines_to_copy_are_quoted(here, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, shown in (('a b.yaml', f"'{tmp_path}/a b.yaml'"), ('gs://b/p.yaml', 'gs://b/p.yaml')):
        done = here('pipeline', 'schedule', 'list', '--config', path)
        assert f'--config {shown}`' in done.stderr
