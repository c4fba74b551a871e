"""On which machines a component of Vertex AI runs, and what several of them leave."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import step
from pipeline.compiler import compile_text
from pipeline.config import load_config
from pipeline.targets import Tpu, VertexStep

TEXT = (Path(__file__).parent / 'weekly.yaml').read_text()


def job_of(tmp_path, pretrainer: str, name: str = 'Pretrainer') -> dict:
    """The CustomJob of the Pretrainer with these settings."""
    document = yaml.safe_load(TEXT)
    vertex = document['targets']['vertex']
    vertex['components'][name] = yaml.safe_load(pretrainer)
    if not any('tpu' in x for x in vertex['components'].values()):
        del vertex['tpu_image']
    file = tmp_path / 'weekly.yaml'
    file.write_text(yaml.safe_dump(document))
    spec = json.loads(compile_text(load_config(str(file)), 'vertex'))['pipelineSpec']
    args = spec['deploymentSpec']['executors'][f'{name}_executor']['container']['args']
    return json.loads(args[args.index('--payload') + 1])['job_spec']


@pytest.mark.parametrize(
    ('tpu', 'machine'),
    [
        ('{}', {'machine_type': 'ct5lp-hightpu-4t', 'tpu_topology': '2x2'}),
        ('{topology: 4x8}', {'machine_type': 'ct5lp-hightpu-4t', 'tpu_topology': '4x8'}),
        (
            '{machine: ct5lp-hightpu-8t, topology: 2x4}',
            {'machine_type': 'ct5lp-hightpu-8t', 'tpu_topology': '2x4'},
        ),
        (
            '{machine: cloud-tpu, accelerator: TPU_V3, cores: 32}',
            {
                'machine_type': 'cloud-tpu',
                'accelerator_type': 'TPU_V3',
                'accelerator_count': 32,
            },
        ),
    ],
)
def test_a_tpu_slice_is_one_replica_however_many_machines_it_has(tmp_path, tpu, machine):
    (pool,) = job_of(tmp_path, f'{{tpu: {tpu}}}')['worker_pool_specs']
    assert pool['machine_spec'] == machine and pool['replica_count'] == 1
    assert {'name': 'AVMAE_DEVICE', 'value': 'tpu'} in pool['container_spec']['env']


def test_workers_are_a_chief_and_the_others_with_the_same_command(tmp_path):
    job = job_of(
        tmp_path,
        '{workers: {count: 4, machine: n1-standard-16}, gpu: {kind: NVIDIA_TESLA_T4, count: 2}}',
    )
    chief, others = job['worker_pool_specs']
    assert (chief['replica_count'], others['replica_count']) == (1, 3)
    assert chief['machine_spec'] == others['machine_spec'] == {
        'machine_type': 'n1-standard-16',
        'accelerator_type': 'NVIDIA_TESLA_T4',
        'accelerator_count': 2,
    }  # fmt: skip
    assert chief['container_spec'] == others['container_spec']
    assert chief['container_spec']['image_uri'] == 'images.example/avmae:1'
    assert {'name': 'AVMAE_DEVICE', 'value': 'gpu'} in chief['container_spec']['env']
    assert job['scheduling']['restart_job_on_worker_restart']
    without = job_of(tmp_path, '{workers: {count: 2, machine: n1-standard-16}}')
    environment = without['worker_pool_specs'][0]['container_spec']['env']
    assert 'AVMAE_DEVICE' not in [variable['name'] for variable in environment]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'tpu': {'topology': '3x3'}}, 'topology of ct5lp-hightpu-4t must be one of 2x2, 2x4'),
        ({'tpu': {'machine': 'ct5lp-hightpu-8t'}}, 'must be one of 2x4, got 2x2'),
        ({'tpu': {'machine': 'cloud-tpu'}}, 'cloud-tpu has accelerator and cores'),
        ({'tpu': {'cores': 8}}, 'accelerator and cores are of cloud-tpu'),
        ({'tpu': {}, 'gpu': {'kind': 'L4'}}, 'gpu and tpu are both given'),
        ({'tpu': {}, 'workers': {'count': 2, 'machine': 'm'}}, 'workers and tpu are both given'),
        ({'workers': {'count': 2, 'machine': 'm'}, 'cpu': 4}, 'come with workers.machine'),
        ({'workers': {'count': 1, 'machine': 'm'}}, 'greater than or equal to 2'),
    ],
)
def test_machines_that_there_are_not_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VertexStep.model_validate(settings)
    assert Tpu.model_validate({'machine': 'a-newer-one', 'topology': '9x9'}).machine_spec


def test_only_what_trains_runs_on_several_machines(tmp_path):
    with pytest.raises(ValueError, match=r'Evaluator\.workers: only Pretrainer, Finetuner run'):
        job_of(tmp_path, '{workers: {count: 2, machine: n1-standard-16}}', 'Evaluator')


INVOCATION = {
    'inputs': {'artifacts': {'examples': {'artifacts': [{'uri': 'gs://b/examples'}]}}},
    'outputs': {
        'artifacts': {'model': {'artifacts': [{'name': '7', 'uri': 'gs://b/run/task/model'}]}},
        'parameters': {'version': {'outputFile': 'gs://b/run/task/version.txt'}},
        'outputFile': 'gs://b/run/task/executor_output.json',
    },
}


def test_a_worker_that_is_not_the_chief_leaves_its_outputs_elsewhere():
    argv = ['--executor_class_path', 'x', step.INVOCATION, json.dumps(INVOCATION)]
    changed = json.loads(step.elsewhere(argv, '/scratch')[-1])
    assert changed['inputs'] == INVOCATION['inputs']
    assert 'gs://' not in json.dumps(changed['outputs'])
    assert changed['outputs']['artifacts']['model']['artifacts'][0]['name'] == '7'


@pytest.mark.parametrize(('place', 'is_elsewhere'), [('chief', False), ('worker', True)])
def test_the_chief_alone_leaves_the_results_of_a_task(monkeypatch, place, is_elsewhere):
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as executor

    cluster = {'chief': ['a:1'], 'worker': ['b:1']}
    config = {'cluster': cluster, 'task': {'type': place, 'index': 0}}
    monkeypatch.setitem(os.environ, 'TF_CONFIG', json.dumps(config))
    ran = []
    monkeypatch.setattr(executor, 'main', lambda flags: ran.append(flags[0]))
    step._run(['--executor_class_path', 'x', step.INVOCATION, json.dumps(INVOCATION)])
    outputs = json.loads(ran[0].json_serialized_invocation_args)['outputs']
    assert (outputs != INVOCATION['outputs']) == is_elsewhere


def test_a_task_that_is_to_be_started_again_says_so_by_its_exit_code(monkeypatch):
    from avmae_tf.training.interruption import Interrupted

    noticed = []
    monkeypatch.setattr(step, 'leave', sys.exit)
    monkeypatch.setattr(step, 'send_notice', lambda *what: noticed.append(what))

    def code_of(error):
        def run(argv):
            raise error

        monkeypatch.setattr(step, '_run', run)
        with pytest.raises(SystemExit) as left:
            step.main(['--node', 'Pretrainer', step.INVOCATION, json.dumps(INVOCATION)])
        return left.value.code

    assert code_of(Interrupted('saved at step 6 of 12')) == 143 and not noticed
    assert code_of(RuntimeError('no')) == 1 and 'failed' in noticed[0][1]
