"""Kubeflow and Vertex AI by their own clients, against servers that speak their protocols."""

import dataclasses
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cloud_storage import CloudStorage
from google.protobuf import json_format
from kubeflow_server import KubeflowServer
from vertex_server import ROOTS, Certificate, VertexServer, write_account

from components.outcome.component import Outcome
from components.outcome.judgement import Shortfall
from pipeline import engines
from pipeline.compiler import compile_text
from pipeline.config import load_config

FILE = """
name: demo
root: {root}
data: {{videos: gs://bucket/clips}}
start: scratch
finetune: demo
gate: {{min_top1: 0.5}}
targets:
  kubeflow:
    image: registry/avmae:1
    host: {kubeflow}
    ui: https://kubeflow.example.com/pipeline
    namespace: team
    experiment: clips
    service_account: trainer
  vertex:
    image: registry/avmae:1
    project: project
    region: europe-west4
    endpoint: {vertex}
    service_account: trainer@project.iam.gserviceaccount.com
    network: projects/1/global/networks/lan
    labels: {{team: clips}}
"""
WEEKLY = '0 3 * * MON'
SHORT = Shortfall(metric='top1', value=0.4, bound=0.5, compared=False)
RUNNING = ('RUNNING', {'Finetuner': ('RUNNING', '')})
DONE = ('SUCCEEDED', {'Finetuner': ('SUCCEEDED', '')})


def unused_port() -> int:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]


@dataclasses.dataclass
class World:
    """An engine with nothing but this pipeline, and the command."""

    target: str
    server: KubeflowServer | VertexServer
    path: Path
    here: Callable[..., subprocess.CompletedProcess]
    write: Callable[[str, str], object]  # (path below the root, text)

    def __call__(self, verb: str, *arguments) -> subprocess.CompletedProcess:
        options = '--config', self.path, '--target', self.target
        return self.here('pipeline', *verb.split(), *options, *arguments)

    @property
    def config(self):
        return load_config(str(self.path))

    def end(self, **outcome):
        """What the graph of the run leaves, as soon as the engine says that it has succeeded."""
        settings = {
            'blessed': True,
            'compared': True,
            'shortfalls': (),
            'metrics': {'top1': 0.75},
            'left_out': 0,
            'report': f'{self.config.root}/report',
            'pushed': f'{self.config.serving}/7',
            **outcome,
        }
        self.server.at_success = lambda run: self.write(
            f'outcomes/{run}.json', Outcome(run=run, **settings).to_json()
        )

    def address(self, run: str) -> str:
        if self.target == 'kubeflow':
            return f'https://kubeflow.example.com/pipeline/#/runs/details/{run}'
        console = 'https://console.cloud.google.com/vertex-ai/locations/europe-west4'
        return f'{console}/pipelines/runs/{run}?project=project'

    @property
    def runs(self) -> list[str]:
        """Ids of all that there are."""
        found = self.server.runs if self.target == 'kubeflow' else self.server.jobs
        return [name.rpartition('/')[2] for name in found]


@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp('authority'))


@pytest.fixture(scope='module')
def bucket(tmp_path_factory):
    with CloudStorage(tmp_path_factory.mktemp('storage'), 'bucket') as bucket:
        yield bucket


@pytest.fixture
def make_world(tmp_path, here, monkeypatch, bucket):
    """A world from a target, its server and the addresses of both engines."""
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    root = tmp_path.name

    def write(name: str, text: str):
        bucket.write(f'{root}/{name}', text.encode())

    def make(target, server, **addresses):
        path = tmp_path / f'{target}.yaml'
        path.write_text(FILE.format(root=bucket.path(root), **addresses))
        return World(target, server, path, here, write)

    return make


@pytest.fixture
def kubeflow(make_world):
    with KubeflowServer(multi_user=True) as server:
        yield make_world('kubeflow', server, kubeflow=server.address, vertex='localhost:1')


@pytest.fixture
def vertex(make_world, tmp_path, monkeypatch, certificate):
    account = tmp_path / 'account.json'
    write_account(account)
    monkeypatch.setenv('GOOGLE_APPLICATION_CREDENTIALS', str(account))
    monkeypatch.setenv(ROOTS, str(certificate.path))
    with VertexServer(certificate) as server:
        yield make_world('vertex', server, kubeflow='http://h', vertex=server.address)


@pytest.fixture(params=['kubeflow', 'vertex'])
def world(request, monkeypatch):
    monkeypatch.setattr(engines, 'POLL_SECONDS', 0.01)
    return request.getfixturevalue(request.param)


def refused(done: subprocess.CompletedProcess, code: int, *words: str):
    """Checks that a command ended with one line that has these words."""
    assert done.returncode == code, done
    assert done.stdout == ''
    (line,) = done.stderr.splitlines()
    for word in words:
        assert word in line, line


def test_kubeflow_gets_the_compiled_file_and_all_that_the_settings_say(kubeflow):
    done = kubeflow('submit', '--set', 'gate.min_top1=0.3', '--set', 'data.videos=gs://b/more')
    assert done.returncode == 0, done.stderr
    ((run, body),) = kubeflow.server.runs.items()
    assert done.stdout == f'{kubeflow.address(run)}\n'
    assert run in done.stderr and 'avmae pipeline status' in done.stderr
    (compiled,) = yaml.safe_load_all(compile_text(kubeflow.config, 'kubeflow'))
    assert body['pipeline_spec'] == json_format.MessageToDict(
        json_format.ParseDict(compiled, type(_proto())())
    )
    changed = {'gate.min_top1': '0.3', 'data.videos': 'gs://b/more'}
    assert body['runtime_config'] == {
        'parameters': kubeflow.config.settings.parameters | changed,
        'pipeline_root': kubeflow.config.pipeline_root,
    }
    assert body['service_account'] == 'trainer'
    (experiment,) = kubeflow.server.experiments.values()
    assert (experiment['display_name'], experiment['namespace']) == ('clips', 'team')
    assert body['experiment_id'] == experiment['experiment_id']


def _proto():
    from kfp.pipeline_spec import pipeline_spec_pb2

    return pipeline_spec_pb2.PipelineSpec()


def test_vertex_gets_the_compiled_file_and_all_that_the_settings_say(vertex):
    done = vertex('submit', '--set', 'gate.min_top1=0.3', '--set', 'data.videos=gs://b/more')
    assert done.returncode == 0, done.stderr
    ((name, job),) = vertex.server.jobs.items()
    assert done.stdout == f'{vertex.address(name.rpartition("/")[2])}\n'
    assert name.startswith('projects/project/locations/europe-west4/pipelineJobs/demo-')
    found = json_format.MessageToDict(type(job).pb(job))
    compiled = json.loads(compile_text(vertex.config, 'vertex'))
    assert found['pipelineSpec'] == compiled['pipelineSpec']
    changed = {'gate.min_top1': '0.3', 'data.videos': 'gs://b/more'}
    assert found['runtimeConfig'] == {
        'parameterValues': vertex.config.settings.parameters | changed,
        'gcsOutputDirectory': vertex.config.pipeline_root,
    }
    assert found['serviceAccount'] == 'trainer@project.iam.gserviceaccount.com'
    assert found['network'] == 'projects/1/global/networks/lan'
    assert found['labels'] == {'team': 'clips'}


def test_a_run_is_waited_for_and_its_model_pushed(world):
    world.server.states = [('PENDING', {}), RUNNING, RUNNING, DONE]
    world.end()
    done = world('run')
    assert done.returncode == 0, done.stderr
    (run,) = world.runs
    assert done.stdout.splitlines() == ['top1       0.7500', f'pushed to {world.config.serving}/7']
    assert done.stderr.splitlines() == [
        world.address(run),
        'run pending',
        '  Finetuner running',
        'run running',
        '  Finetuner succeeded',
        'run succeeded',
        f'report in {world.config.root}/report',
    ]


@pytest.mark.parametrize('verb', ['run', 'submit --wait'])
def test_a_refused_gate_is_exit_code_1_wherever_it_ran(world, verb):
    world.end(blessed=False, shortfalls=(SHORT,), pushed='')
    done = world(verb)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        'error: not pushed: top1 is 0.400, 0.100 below the gate of 0.500; '
        f'report in {world.config.root}/report'
    )


@pytest.mark.parametrize(
    ('state', 'tasks', 'told'),
    [
        (
            'FAILED',
            {'ManifestGen': ('SUCCEEDED', ''), 'Finetuner': ('FAILED', 'exit\ncode 1')},
            'the run failed: Finetuner failed: exit code 1; see ',
        ),
        ('CANCELLED', {}, 'the run cancelled: no reason is given; see '),
    ],
)
def test_a_run_that_failed_is_exit_code_1_and_names_what_failed(world, state, tasks, told):
    if world.target == 'kubeflow':
        state = state.replace('CANCELLED', 'CANCELED')
    world.server.states = [(state, tasks)]
    done = world('submit', '--wait')
    assert done.returncode == 1
    (run,) = world.runs
    assert done.stderr.splitlines()[-1] == f'error: {told}{world.address(run)}'


def test_an_outcome_that_cannot_be_read_from_here_is_told_apart(world):
    done = world('run')
    (run,) = world.runs
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert f'{world.config.outcomes}/{run}.json: the run has succeeded, and whether' in line
    assert line.endswith(world.address(run))


def test_waiting_outlasts_an_outage_and_not_all_of_them(world, monkeypatch):
    monkeypatch.setattr(engines, 'PATIENCE', 3)
    engine = engines.engine_for(world.config, world.target)
    run = engine.submit({})
    said = []
    world.server.outage = 2
    assert engines.wait(engine, run.id, said.append, 0.0).state == engines.SUCCEEDED
    assert len(said) == 3 and said[-1] == 'run succeeded'
    assert 'no healthy upstream' in said[0] and said[0].endswith('; asking again')
    world.server.outage = 3
    with pytest.raises(engines.Unreachable, match='no healthy upstream'):
        engines.wait(engine, run.id, said.append, 0.0)


def test_a_run_that_cannot_be_watched_any_more_goes_on(world, monkeypatch):
    monkeypatch.setattr(engines, 'PATIENCE', 1)
    world.server.states = [RUNNING]
    engine_run = type(engines.engine_for(world.config, world.target)).run

    def run(engine, run_id):
        found = engine_run(engine, run_id)
        world.server.outage = 1  # after the first look
        return found

    monkeypatch.setattr(engine_run.__module__ + f'.{world.target.capitalize()}.run', run)
    done = world('run')
    assert done.returncode == 1 and 'no healthy upstream' in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-2].startswith('the run goes on; see ')


def test_runs_and_one_of_them_are_shown(world):
    assert world('status').stderr == 'no run yet\n'
    world('submit')
    world('submit')
    first, second = world.runs
    shown = world('status').stdout.splitlines()
    assert [line.split()[0] for line in shown] == ['run', second, first]
    assert world.address(first) in shown[2]
    assert len(world('status', '--last', 1).stdout.splitlines()) == 2

    world.server.states = [('FAILED', {'Finetuner': ('FAILED', 'out of memory')})]
    shown = world('status', first).stdout
    assert shown.startswith(f'{first} failed\n{world.address(first)}\n')
    assert '\nFinetuner  failed' in shown and 'out of memory\n' in shown

    world.server.states = [DONE]
    world.end(blessed=False, shortfalls=(SHORT,), pushed='')
    done = world('status', first)
    assert done.returncode == 0 and 'not pushed: top1 is 0.400' in done.stdout


def test_a_schedule_is_made_listed_paused_resumed_and_deleted(world):
    assert world('schedule list').stderr == 'no schedule yet\n'
    made = world('schedule create', '--cron', WEEKLY, '--set', 'finetune.schedule.epochs=3')
    assert made.returncode == 0, made.stderr
    identity = made.stdout.strip()

    def listed():
        lines = world('schedule list').stdout.splitlines()
        return [line.split() for line in lines[1:]]

    assert listed() == [[identity, *WEEKLY.split(), 'active', 'demo']]
    if world.target == 'kubeflow':
        schedule = world.server.recurring[identity]
        assert schedule['trigger']['cron_schedule']['cron'] == f'0 {WEEKLY}'
        assert (schedule['max_concurrency'], schedule['no_catchup']) == (1, True)
        assert schedule['service_account'] == 'trainer'
        parameters = schedule['runtime_config']['parameters']
    else:
        (schedule,) = world.server.schedules.values()
        job = schedule.create_pipeline_job_request.pipeline_job
        assert (schedule.cron, schedule.max_concurrent_run_count) == (WEEKLY, 1)
        assert job.service_account and job.network and job.labels
        parameters = dict(job.runtime_config.parameter_values)
    assert parameters == {**world.config.settings.parameters, 'finetune.schedule.epochs': '3'}

    assert world('schedule pause', identity).stdout == f'{identity} paused\n'
    assert listed()[0][-2] == 'paused'
    assert world('schedule resume', identity).stdout == f'{identity} resumed\n'
    assert listed()[0][-2] == 'active'
    assert world('schedule delete', identity).stdout == f'{identity} deleted\n'
    assert listed() == []


def test_a_schedule_has_a_time_zone_where_the_engine_has_them(kubeflow, vertex):
    zone = '--cron', WEEKLY, '--timezone', 'Europe/Berlin'
    assert vertex('schedule create', *zone).returncode == 0
    (schedule,) = vertex.server.schedules.values()
    assert schedule.cron == f'TZ=Europe/Berlin {WEEKLY}'
    refused(kubeflow('schedule create', *zone), 2, 'timezone: ', 'leave it out')
    refused(vertex('schedule create', *zone[:3], 'Mars'), 2, 'timezone: must be', "'Mars'")


@pytest.mark.parametrize('verb', ['status', 'schedule pause', 'schedule resume', 'schedule delete'])
def test_what_is_not_there_is_told_with_where_to_look(world, verb):
    looked_in = 'schedule list' if 'schedule' in verb else 'status'
    refused(world(verb, '42'), 2, '42: no such', f'`avmae pipeline {looked_in}`')


def test_an_engine_that_does_not_answer_is_one_line(world):
    server = world.server.address
    nobody = server.replace(server.rpartition(':')[2], str(unused_port()))
    world.path.write_text(world.path.read_text().replace(server, nobody))
    for verb in ('submit', 'status', 'schedule list'):
        done = world(verb)
        refused(
            done, 1, f'targets.{world.target}', nobody, 'cannot be reached', 'onnection refused'
        )
        assert 'object at' not in done.stderr


@pytest.mark.parametrize(
    ('engine', 'old', 'new', 'words'),
    [
        ('kubeflow', '2.1.0', '2.0.0', 'KFP only supports schema version 2.1.0, not 2.0.0'),
        ('kubeflow', 'container:', 'resolver:', 'not implemented'),
        ('vertex', '"deploymentSpec"', '"deployment"', 'pipeline_spec: '),
        ('vertex', '"team": "clips"', '"team": "Clips"', 'labels: Clips'),
    ],
)
def test_what_an_engine_refuses_is_said_in_its_words(engine, old, new, words, request, monkeypatch):
    world = request.getfixturevalue(engine)
    text = compile_text(world.config, engine)
    assert old in text
    text = text.replace(old, new)
    if engine == 'kubeflow':
        documents = [*yaml.safe_load_all(text)]
        for executor in documents[0]['deploymentSpec']['executors'].values():
            if 'resolver' in executor:
                executor['resolver'] = {}
        text = yaml.safe_dump_all(documents)
    monkeypatch.setattr(f'pipeline.{engine}.compile_text', lambda *_: text)
    refused(world('submit'), 2, f'targets.{engine}: it is refused: ', words)
    assert world.runs == []


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ('gate.min_top=0.3', ('gate.min_top: cannot change between runs', 'gate.min_top1')),
        ('gate.min_top1=3', ('gate.min_top1: ', 'less than or equal to 1')),
        ('finetune.schedule.epochs=many', ('finetune.schedule.epochs: ',)),
        ('gate.min_action=0.3', ('gate.min_action bounds the metric',)),
        ('data.videos=here', ('data.videos: ', '/here')),
        ('gate.min_top1', ('must be NAME=VALUE',)),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_before_anything_is_sent(world, change, words):
    refused(world('submit', '--set', change), 2, '--set ', *words)
    assert world.runs == []


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--cron', '0 3 * *'], ('cron: must have 5 fields',)),
        (['--cron', WEEKLY, '--set', 'gate.min_top1=3'], ('--set gate.min_top1: ',)),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_before_anything_is_sent(vertex, arguments, words):
    refused(vertex('schedule create', *arguments), 2, *words)
    assert vertex.server.schedules == {}


def test_kubeflow_lets_in_who_brings_the_token(kubeflow, monkeypatch):
    kubeflow.server.token = 'secret'
    refused(kubeflow('status'), 1, 'does not let you in (401', 'KF_PIPELINES_SA_TOKEN_PATH')
    token = kubeflow.path.with_name('token')
    token.write_text('secret')
    monkeypatch.setenv('KF_PIPELINES_SA_TOKEN_PATH', str(token))
    assert kubeflow('status').returncode == 0
    token.unlink()
    refused(kubeflow('status'), 2, f'{token}: No such file')


@pytest.mark.parametrize('namespace', ['    namespace: team\n', ''])
def test_the_page_of_a_login_is_no_answer(kubeflow, namespace):
    text = kubeflow.path.read_text()
    kubeflow.path.write_text(text.replace('    namespace: team\n', namespace))
    kubeflow.server.login = True
    for verb in ('submit', 'status'):
        refused(kubeflow(verb), 1, 'answers with a page', 'KF_PIPELINES_SA_TOKEN_PATH')


def test_kubeflow_with_several_users_needs_to_know_whose_runs_they_are(kubeflow):
    kubeflow.path.write_text(kubeflow.path.read_text().replace('    namespace: team\n', ''))
    refused(kubeflow('submit'), 2, 'targets.kubeflow.namespace: is missing')
    kubeflow.server.multi_user = False
    assert kubeflow('submit').returncode == 0


def test_kubeflow_without_an_address_is_told_which_field(kubeflow):
    text = kubeflow.path.read_text()
    kubeflow.path.write_text(text.replace(f'    host: {kubeflow.server.address}\n', ''))
    refused(kubeflow('submit'), 2, 'targets.kubeflow.host: is missing')


def test_vertex_without_credentials_is_told_how_to_log_in(vertex, monkeypatch):
    monkeypatch.delenv('GOOGLE_APPLICATION_CREDENTIALS')
    monkeypatch.setenv('HOME', str(vertex.path.parent))
    refused(vertex('status'), 1, 'gcloud auth application-default login')


def test_a_target_that_the_file_does_not_have_is_named(world):
    settings = yaml.safe_load(world.path.read_text())
    del settings['targets'][world.target]
    world.path.write_text(yaml.safe_dump(settings))
    for verb in ('submit', 'status', 'schedule list'):
        refused(world(verb), 2, f'error: targets.{world.target}: is missing')
    refused(world('submit', '--set', 'gate.min_top1=0.3'), 2, f'error: targets.{world.target}: is')
