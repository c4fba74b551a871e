"""What TFX's compiler leaves out of a specification for Kubeflow Pipelines and Vertex AI."""

import json
from typing import Any

from avmae_tf.config.run import GPU, TPU
from avmae_tf.training.cluster import DEVICE
from avmae_tf.training.origin import IMAGE
from pipeline.checks import NEVER_CACHED, TRAINING
from pipeline.config import PipelineConfig
from pipeline.step import GCP_RESOURCES
from pipeline.targets import GPU_RESOURCE, VERTEX, KubeflowStep, RemoteStep, Target, VertexStep

COMMAND = ('python', '-m', 'pipeline.step')
INVOCATION, ESCAPED = '{{$}}', '{{$.json_escape[1]}}'
LAUNCHER_MODULE = 'google_cloud_pipeline_components.container.v1.custom_job.launcher'
LAUNCHER_IMAGE = 'gcr.io/ml-pipeline/google-cloud-pipeline-components:2.8.0'
BACKOFF = {'backoffDuration': '60s', 'backoffFactor': 2.0, 'backoffMaxDuration': '3600s'}
DEFAULT_JOB_HOURS = 24.0 * 28

Document = dict[str, Any]


def finish(job: Document, config: PipelineConfig, target: Target) -> Document:
    """The PipelineJob of TFX's compiler with all that the settings say, and without its faults."""
    spec = job['pipelineSpec']
    settings = config.targets.of(target)
    _name_producers(spec)
    _set_defaults(spec, config)
    for name, task in spec['root']['dag']['tasks'].items():
        step = settings.step(name)
        task['cachingOptions'] = {'enableCache': step.is_cached and name not in NEVER_CACHED}
        if step.retries:
            task['retryPolicy'] = {'maxRetryCount': step.retries, **BACKOFF}
        executor = spec['deploymentSpec']['executors'][f'{name}_executor']
        container = executor['container']
        is_job = isinstance(step, VertexStep) and step.is_job
        device = next((kind for kind in (TPU, GPU) if getattr(step, kind, None)), None)
        image = settings.tpu_image if device == TPU else settings.image
        variables = {**settings.env, IMAGE: image}
        if device and name in TRAINING:
            variables[DEVICE] = device
        container |= {
            'image': image,
            'args': [*_own_args(name, step, config), *container['args']],
            'env': [{'name': k, 'value': v} for k, v in sorted(variables.items())],
        }
        if is_job:
            spec['components'][name].setdefault('outputDefinitions', {}).setdefault(
                'parameters', {}
            )[GCP_RESOURCES] = {'parameterType': 'STRING'}
            executor['container'] = _as_custom_job(container, name, step, config)
        elif resources := _resources(step):
            container['resources'] = resources
    spec['defaultPipelineRoot'] = config.pipeline_root
    job['labels'] = settings.labels if target == VERTEX else {}
    job['runtimeConfig'] = {
        'gcsOutputDirectory': config.pipeline_root,
        'parameterValues': config.settings.parameters,
    }
    return job


def platform(config: PipelineConfig, spec: Document) -> Document:
    """The second document of a file for Kubeflow: what only Kubernetes has."""
    settings = config.targets.kubeflow
    if settings is None:
        return {}
    secrets: dict[str, list[Document]] = {}
    for variable, place in sorted(settings.secrets.items()):
        secret, _, key = place.partition('/')
        secrets.setdefault(secret, []).append({'secretKey': key, 'envVar': variable})
    common: Document = {}
    if settings.volume:
        volume = settings.volume
        common['pvcMount'] = [{'constant': volume.claim, 'mountPath': volume.path}]
    if secrets:
        common['secretAsEnv'] = [{'secretName': k, 'keyToEnv': v} for k, v in secrets.items()]
    executors = {}
    for name in spec['root']['dag']['tasks']:
        node = settings.step(name).node
        own = {**common, **({'nodeSelector': {'labels': node}} if node else {})}
        if own:
            executors[f'{name}_executor'] = own
    if not executors:
        return {}
    return {'platforms': {'kubernetes': {'deploymentSpec': {'executors': executors}}}}


def _name_producers(spec: Document) -> None:
    """TFX names the producer of a parameter `Node_task`, and the task itself `Node`."""
    tasks = spec['root']['dag']['tasks']
    for task in tasks.values():
        for parameter in task.get('inputs', {}).get('parameters', {}).values():
            if source := parameter.get('taskOutputParameter'):
                name = source['producerTask']
                source['producerTask'] = name if name in tasks else name.removesuffix('_task')


def _set_defaults(spec: Document, config: PipelineConfig) -> None:
    """TFX drops the defaults of runtime parameters."""
    inputs = spec['root'].setdefault('inputDefinitions', {}).setdefault('parameters', {})
    for name, text in config.settings.parameters.items():
        inputs[name] |= {'defaultValue': text, 'isOptional': True}


def _own_args(name: str, step: RemoteStep, config: PipelineConfig) -> list[str]:
    args = ['--node', name]
    if step.hours:
        args += ['--hours', str(step.hours)]
    if config.notify:
        args += ['--notify', config.notify]
    return args


def _resources(step: RemoteStep) -> Document:
    found: Document = {}
    if step.cpu:
        found['cpuLimit'] = step.cpu
    if step.memory_gb:
        found['memoryLimit'] = step.memory_gb
    if isinstance(step, KubeflowStep) and step.gpu:
        found['accelerator'] = {'type': step.gpu_resource or GPU_RESOURCE, 'count': str(step.gpu)}
    if isinstance(step, VertexStep) and step.gpu:
        found['accelerator'] = {'type': step.gpu.kind, 'count': str(step.gpu.count)}
    return found


def _pools(step: VertexStep) -> list[tuple[Document, int]]:
    """Machines of a job, and how many of each: the first pool is the chief's.

    A TPU slice is one replica, of however many machines its topology needs.
    """
    if step.tpu:
        return [(step.tpu.machine_spec, 1)]
    assert step.workers
    machine: Document = {'machine_type': step.workers.machine}
    if step.gpu:
        machine |= {'accelerator_type': step.gpu.kind, 'accelerator_count': step.gpu.count}
    return [(machine, 1), (machine, step.workers.count - 1)]


def _as_custom_job(
    container: Document, name: str, step: VertexStep, config: PipelineConfig
) -> Document:
    """The container as a CustomJob: a task of Vertex AI has no TPU and one machine, a job has both.

    As google-cloud-pipeline-components does it: the task becomes a launcher that starts the job,
    waits for it, and hands on what it leaves.
    """
    settings = config.targets.vertex
    assert settings
    container_spec = {
        'image_uri': container['image'],
        'command': container['command'],
        'args': [ESCAPED if arg == INVOCATION else arg for arg in container['args']],
        'env': container['env'],
    }
    pools = [
        {'machine_spec': machine, 'replica_count': count, 'container_spec': container_spec}
        for machine, count in _pools(step)
    ]
    seconds = (step.hours or DEFAULT_JOB_HOURS) * 3600
    custom_job: Document = {
        'worker_pool_specs': pools,
        'scheduling': {'timeout': f'{seconds:.0f}s', 'restart_job_on_worker_restart': True},
    }
    if settings.service_account:
        custom_job['service_account'] = settings.service_account
    if settings.network:
        custom_job['network'] = settings.network
    payload = {
        'display_name': f'{config.name}-{name.lower()}',
        'job_spec': custom_job,
        'labels': settings.labels,
    }
    return {
        'image': LAUNCHER_IMAGE,
        'command': ['python3', '-u', '-m', LAUNCHER_MODULE],
        'args': [
            *('--type', 'CustomJob', '--payload', json.dumps(payload, sort_keys=True)),
            *('--project', settings.project, '--location', settings.region),
            *('--gcp_resources', f"{{{{$.outputs.parameters['{GCP_RESOURCES}'].output_file}}}}"),
        ],
    }
