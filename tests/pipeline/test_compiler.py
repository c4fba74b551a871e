"""What a pipeline becomes for each target: the same bytes each time, as the engines take it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from engine import check

from pipeline.compiler import FILES, compile_text
from pipeline.config import load_config
from pipeline.targets import TARGETS

HERE = Path(__file__).parent
FILE, GOLDEN = HERE / 'weekly.yaml', HERE / 'golden'


def config(**changes):
    return load_config(str(FILE), **changes)


def documents(target, **changes) -> list[dict]:
    return list(yaml.safe_load_all(compile_text(config(**changes), target)))


@pytest.fixture(scope='module')
def vertex() -> dict:
    return documents('vertex')[0]


@pytest.fixture(scope='module')
def kubeflow() -> list[dict]:
    return documents('kubeflow')


@pytest.mark.parametrize('target', TARGETS)
def test_a_target_gets_the_same_bytes_each_time(target, request):
    text = compile_text(config(), target)
    assert compile_text(config(), target) == text
    golden = GOLDEN / FILES[target]
    if request.config.getoption('--store-figures'):
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text(), 'look at the difference, then run with --store-figures'


def test_the_engines_own_protocol_takes_it(vertex, kubeflow):
    check(vertex['pipelineSpec'])
    check(kubeflow[0])


def test_what_is_on_kubernetes_alone_is_in_a_second_document(kubeflow):
    executors = kubeflow[1]['platforms']['kubernetes']['deploymentSpec']['executors']
    assert executors['Pretrainer_executor'] == {
        'nodeSelector': {'labels': {'pool': 'a100'}},
        'pvcMount': [{'constant': 'clips', 'mountPath': '/clips'}],
        'secretAsEnv': [
            {
                'secretName': 'bucket',
                'keyToEnv': [
                    {'envVar': 'AWS_ACCESS_KEY_ID', 'secretKey': 'id'},
                    {'envVar': 'AWS_SECRET_ACCESS_KEY', 'secretKey': 'key'},
                ],
            }
        ],
    }
    assert set(executors) == set(kubeflow[0]['deploymentSpec']['executors'])


def test_a_component_gets_its_machine_its_retries_and_its_limit(kubeflow):
    spec = kubeflow[0]
    container = spec['deploymentSpec']['executors']['Pretrainer_executor']['container']
    assert container['resources'] == {
        'cpuLimit': 4.0,
        'memoryLimit': 64.0,
        'accelerator': {'type': 'nvidia.com/gpu', 'count': '4'},
    }
    assert container['image'] == 'images.example/avmae:1'
    assert {'name': 'AVMAE_IMAGE', 'value': 'images.example/avmae:1'} in container['env']
    assert container['args'][container['args'].index('--hours') + 1] == '96.0'
    tasks = spec['root']['dag']['tasks']
    assert tasks['Pretrainer']['retryPolicy']['maxRetryCount'] == 5
    assert tasks['Finetuner']['retryPolicy']['maxRetryCount'] == 2


def test_what_looks_each_time_is_never_cached(vertex):
    cached = {
        name: task['cachingOptions']['enableCache']
        for name, task in vertex['pipelineSpec']['root']['dag']['tasks'].items()
    }
    never = {'ManifestGen', 'ServedModel', 'Pusher', 'RunOutcome', 'Evaluator'}  # that by the file
    assert cached == {name: name not in never for name in cached}


def test_a_tpu_is_a_custom_job_with_the_same_command(vertex, kubeflow):
    executors = vertex['pipelineSpec']['deploymentSpec']['executors']
    args = executors['Pretrainer_executor']['container']['args']
    payload = json.loads(args[args.index('--payload') + 1])
    (pool,) = payload['job_spec']['worker_pool_specs']
    assert pool['machine_spec'] == {'machine_type': 'ct5lp-hightpu-4t', 'tpu_topology': '4x4'}
    container = pool['container_spec']
    assert container['image_uri'] == 'images.example/avmae-tpu:1'
    assert {'name': 'AVMAE_IMAGE', 'value': container['image_uri']} in container['env']
    assert payload['job_spec']['scheduling']['timeout'] == '345600s'
    ours = kubeflow[0]['deploymentSpec']['executors']['Pretrainer_executor']['container']
    assert container['command'] == ours['command']
    assert [a for a in container['args'] if '{{$.json' not in a] == [
        a for a in ours['args'] if a != '{{$}}'
    ]


def test_parameters_have_the_names_and_values_of_the_file(vertex):
    inputs = vertex['pipelineSpec']['root']['inputDefinitions']['parameters']
    found = {name: definition['defaultValue'] for name, definition in inputs.items()}
    assert found == vertex['runtimeConfig']['parameterValues'] == config().settings.parameters
    assert found['gate.min_top1'] == '0.5' and found['data.subset'] == ''


def test_beams_options_reach_what_runs_on_beam(vertex):
    executors = vertex['pipelineSpec']['deploymentSpec']['executors']
    for name in ('VideoExampleGen', 'Evaluator'):
        args = executors[f'{name}_executor']['container']['args']
        image = '--sdk_container_image=images.example/beam:1'
        assert {'--runner=DataflowRunner', '--max_num_workers=50', image} <= set(args)
    assert '--runner=DataflowRunner' not in executors['ManifestGen_executor']['container']['args']


TEXT = FILE.read_text()


@pytest.mark.parametrize(
    ('target', 'before', 'after', 'message'),
    [
        (
            'kubeflow',
            'Finetuner: {gpu: 1}',
            'Trainer: {gpu: 1}',
            'Trainer: no such component;',
        ),
        ('kubeflow', 'Finetuner: {gpu: 1}', 'Finetuner: {tpu: {}}', 'Finetuner.tpu: no such field'),
        ('kubeflow', 'Finetuner: {gpu: 1}', 'Pusher: {gpu: 1}', 'Pusher.gpu: only Pretrainer, '),
        ('kubeflow', 'Finetuner: {gpu: 1}', 'Pusher: {cache: true}', 'Pusher.cache: it has to'),
        ('kubeflow', 'name: weekly', 'name: my_weekly', 'name: kubeflow takes no "_" in it'),
        ('kubeflow', 'gs://bucket/clips', '/videos', 'data.videos: must be in a bucket, or on the'),
        ('kubeflow', 'root: gs://bucket/', 'root: /clips/', 'root: kubeflow keeps artifacts in a'),
        (
            'kubeflow',
            'root: gs://bucket/',
            'root: file:///r/',
            'root: kubeflow keeps artifacts in a',
        ),
        ('kubeflow', 'root: gs://', 'root: az://', 'root: az://.*: must be a path of this machine'),
        ('local', 'gs://bucket/clips', 'https://a/b', 'data.videos: https://a/b.*: must be a path'),
        ('vertex', 'root: gs://', 'root: s3://', r'root: vertex reads and writes Cloud Storage'),
        (
            'vertex',
            'tpu: {topology: 2x2}',
            'cpu: 4, tpu: {}',
            'cpu and memory_gb come with',
        ),
        ('vertex', 'tpu_image', 'tpuimage', 'targets.vertex.tpuimage: no such field'),
        ('vertex', '    tpu_image: images.example/avmae-tpu:1\n', '', 'Pretrainer runs on a TPU'),
        ('vertex', 'tpu: {topology: 2x2}', 'tpu: {topology: four}', 'tpu.topology'),
        ('vertex', '    project: clips\n', '', 'targets.vertex.project: Field required'),
    ],
)
def test_what_a_target_cannot_do_or_has_no_use_for_is_refused(
    tmp_path, target, before, after, message
):
    assert before in TEXT
    file = tmp_path / 'weekly.yaml'
    file.write_text(TEXT.replace(before, after))
    with pytest.raises(ValueError, match=message):
        compile_text(load_config(str(file)), target)


def test_a_target_that_is_not_described_is_named(tmp_path):
    file = tmp_path / 'weekly.yaml'
    file.write_text(TEXT[: TEXT.index('targets:')])
    with pytest.raises(ValueError, match=r'targets.vertex: is missing; give the image'):
        compile_text(load_config(str(file)), 'vertex')
    assert compile_text(load_config(str(file)), 'local')


def test_what_changes_between_runs_is_validated_by_name():
    settings = config().settings
    changed = settings.changed({'finetune.schedule.epochs': '3', 'gate.min_top1': ''})
    assert changed.finetune.schedule.epochs == 3 and changed.gate.min_top1 is None
    assert settings.changed(settings.parameters) == settings
    with pytest.raises(ValueError, match=r'gate.min_top1'):
        settings.changed({'gate.min_top1': '2'})
    with pytest.raises(ValueError, match=r'^finetune.loss: cannot change between runs; what can'):
        settings.changed({'finetune.loss': 'sigmoid'})
    scratch = config(start='scratch').settings
    assert not [name for name in scratch.parameters if name.startswith('start.')]


def test_a_step_says_what_was_wrong_in_one_line_and_tells_the_team(tmp_path):
    invocation = {'outputs': {'outputFile': f'{tmp_path}/weekly-1/task/executor_output.json'}}
    command = [
        *(sys.executable, '-m', 'pipeline.step', '--node', 'ManifestGen'),
        *('--notify', 'http://127.0.0.1:9/', '--executor_class_path', 'no.such.Class'),
        *('--json_serialized_invocation_args', json.dumps(invocation)),
    ]
    environment = {**os.environ, 'PYTHONPATH': str(HERE.parent.parent)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 1
    assert re.search('^ManifestGen of weekly-1 failed: .+$', ended.stderr, re.MULTILINE)
