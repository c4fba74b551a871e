"""An engine on this machine: runs what was compiled for Kubeflow or Vertex AI, task by task.

Every container's command is run as it is written, in a process of its own (`forks`), with what the
engine puts into it. As Kubeflow it has no drivers, numbers for names of artifacts, and refuses all
but containers; as Vertex AI it takes CustomJobs. It caches and tries again as they do.
"""

import dataclasses
import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from forks import Forks
from google.cloud.aiplatform_v1.types import CustomJob
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

PROJECT, LOCATION = 'project', 'europe-west4'
LAUNCHER = 'google_cloud_pipeline_components.container.v1.custom_job.launcher'
POLL_SECONDS = 0.05

Artifact = dict[str, Any]


class TaskFailed(Exception):
    """A container ended with an exit code other than 0 as often as it may be tried."""


@dataclasses.dataclass
class Task:
    """What became of one."""

    cached: bool
    artifacts: dict[str, list[Artifact]]
    parameters: dict[str, Any]
    attempts: int = 0
    seconds: float = 0.0


def check(spec: dict[str, Any]) -> None:
    """Raises ParseError for a specification that the engines' protocol does not have."""
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(spec['deploymentSpec'], deployment)
    assert spec['schemaVersion'] == '2.1.0'
    for label, executor in deployment.executors.items():
        assert executor.WhichOneof('spec') == 'container', f'{label} is no container'


class Engine:
    """Keeps artifacts and its cache in `folder`, like the metadata store of a real one.

    Args:
        folder: Of this machine.
        forks: Start the containers.
        read: Reads what is at an address that a task was given.

    Attributes:
        kill: By task, a function that says of its log whether the time has come to kill it, once,
            as if its machine were gone.
    """

    def __init__(
        self,
        folder: Path,
        forks: Forks,
        read: Callable[[str], bytes],
    ):
        self.folder, self.forks, self.read = folder, forks, read
        self.kill: dict[str, Callable[[str], Any]] = {}
        self.path = folder / 'engine.json'
        self.state: dict[str, Any] = {'artifacts': 0, 'cache': {}, 'runs': 0}
        if self.path.exists():
            self.state = json.loads(self.path.read_text())

    def run(self, text: str, parameters: Mapping[str, str] | None = None) -> dict[str, Task]:
        """Runs the compiled file, its `text`; raises TaskFailed."""
        document, *_ = yaml.safe_load_all(text)
        job = document if 'pipelineSpec' in document else {'pipelineSpec': document}
        return _Run(self, job, parameters or {}).run()

    def log(self, name: str) -> str:
        """What the task of that name has said in the last run, in all its attempts."""
        return max(self.folder.glob(f'logs/*-{name}.log'), key=os.path.getmtime).read_text()

    def save(self):
        """Writes what is known to the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.state))


class _Run:
    def __init__(self, engine: Engine, job: dict, parameters: Mapping[str, str]):
        self.engine, self.spec = engine, job['pipelineSpec']
        self.is_vertex = 'runtimeConfig' in job
        check(self.spec)
        inputs = self.spec['root']['inputDefinitions']['parameters']
        assert set(parameters) <= set(inputs)
        defaults = {name: definition['defaultValue'] for name, definition in inputs.items()}
        given = job.get('runtimeConfig', {}).get('parameterValues', {})
        self.parameters = {**defaults, **given, **parameters}
        engine.state['runs'] += 1
        self.id = f'{self.spec["pipelineInfo"]["name"]}-{engine.state["runs"]}'
        self.root = self.spec['defaultPipelineRoot']
        self.tasks = self.spec['root']['dag']['tasks']
        self.done: dict[str, Task] = {}

    def run(self) -> dict[str, Task]:
        """Runs what is ready, one task at a time, until all have."""
        while waiting := [name for name in self.tasks if name not in self.done]:
            ready = [name for name in waiting if self._needs(self.tasks[name]) <= set(self.done)]
            assert ready, f'{waiting} wait for each other'
            for name in sorted(ready):
                self.done[name] = self._task(name, self.tasks[name])
                self.engine.save()
        return self.done

    @staticmethod
    def _needs(task: dict) -> set[str]:
        inputs = task.get('inputs', {})
        sources = [
            *(x['taskOutputArtifact'] for x in inputs.get('artifacts', {}).values()),
            *(
                x['taskOutputParameter']
                for x in inputs.get('parameters', {}).values()
                if 'taskOutputParameter' in x
            ),
        ]
        return {*task.get('dependentTasks', []), *(x['producerTask'] for x in sources)}

    def _value(self, source: dict) -> Any:
        if name := source.get('componentInputParameter'):
            return self.parameters[name]
        if output := source.get('taskOutputParameter'):
            return self.done[output['producerTask']].parameters[output['outputParameterKey']]
        value = source['runtimeValue']['constant']
        return self._placeholders(value) if str(value).startswith('{{$.pipeline') else value

    def _placeholders(self, text: str) -> str:
        for name in ('pipeline_job_uuid', 'pipeline_job_name'):
            text = text.replace(f'{{{{$.{name}}}}}', self.id)
        text = text.replace('{{$.pipeline_google_cloud_project_id}}', PROJECT)
        return text.replace('{{$.pipeline_google_cloud_location}}', LOCATION)

    def _task(self, name: str, task: dict) -> Task:
        component = self.spec['components'][task['componentRef']['name']]
        container = self.spec['deploymentSpec']['executors'][component['executorLabel']][
            'container'
        ]
        sources = task.get('inputs', {})
        artifacts = {
            key: self.done[x['taskOutputArtifact']['producerTask']].artifacts[
                x['taskOutputArtifact']['outputArtifactKey']
            ]
            for key, x in sources.get('artifacts', {}).items()
        }
        parameters = {key: self._value(x) for key, x in sources.get('parameters', {}).items()}
        named = {key: [x['name'] for x in found] for key, found in artifacts.items()}
        key = hashlib.sha256(
            json.dumps([container, parameters, named], sort_keys=True).encode()
        ).hexdigest()
        cached = self.engine.state['cache'].get(key)
        if cached and task['cachingOptions'].get('enableCache'):
            return Task(True, **cached)
        outputs = component.get('outputDefinitions', {})
        folder = f'{self.root}/{self.id}/{name}'
        invocation = {
            'inputs': {
                'artifacts': {key: {'artifacts': found} for key, found in artifacts.items()},
                'parameterValues': parameters,
            },
            'outputs': {
                'artifacts': {
                    key: {'artifacts': [self._artifact(f'{folder}/{key}', x['artifactType'])]}
                    for key, x in outputs.get('artifacts', {}).items()
                },
                'parameters': {
                    key: {'outputFile': f'{folder}/{key}.txt'}
                    for key in outputs.get('parameters', {})
                },
                'outputFile': f'{folder}/executor_output.json',
            },
        }
        tries = 1 + task.get('retryPolicy', {}).get('maxRetryCount', 0)
        started = time.monotonic()
        for attempts in range(1, tries + 1):  # noqa: B007
            code, log = self._container(name, container, invocation)
            if code == 0:
                break
        else:
            tail = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
            raise TaskFailed(f'{name}: exit code {code} after {tries} tries; {log}:\n{tail}')
        made = self._outputs(invocation)
        self.engine.state['cache'][key] = made
        return Task(False, **made, attempts=attempts, seconds=time.monotonic() - started)

    def _artifact(self, uri: str, kind: dict) -> Artifact:
        self.engine.state['artifacts'] += 1
        number = str(self.engine.state['artifacts'])
        store = f'projects/{PROJECT}/locations/{LOCATION}/metadataStores/default/artifacts/'
        name = f'{store}{number}' if self.is_vertex else number
        return {'name': name, 'type': kind, 'uri': uri, 'metadata': {}}

    def _container(self, name: str, container: dict, invocation: dict) -> tuple[int, Path]:
        words = [*container.get('command', []), *container.get('args', [])]
        variables = {x['name']: x['value'] for x in container.get('env', [])}
        text = json.dumps(invocation)
        words = [self._placeholders(word).replace('{{$}}', text) for word in words]
        if LAUNCHER in words:
            words, variables = self._custom_job(words, text)
        log = self.engine.folder / 'logs' / f'{self.id}-{name}.log'
        log.parent.mkdir(parents=True, exist_ok=True)
        before = log.stat().st_size if log.exists() else 0
        process = self.engine.forks.start(words, variables, log, self.engine.folder)
        kill = self.engine.kill.get(name)
        while (code := self.engine.forks.code(POLL_SECONDS)) is None:
            if kill and kill(log.read_text(errors='replace')[before:]):
                os.killpg(process, signal.SIGKILL)
                del self.engine.kill[name]
                kill = None
        return code, log

    @staticmethod
    def _custom_job(words: list[str], text: str) -> tuple[list[str], dict[str, str]]:
        """Command and variables of the job that the launcher would start."""
        payload = words[words.index('--payload') + 1]
        payload = payload.replace('{{$.json_escape[1]}}', json.dumps(text)[1:-1])
        job = CustomJob(json.loads(payload))  # raises for a field that it does not have
        (pool,) = job.job_spec.worker_pool_specs
        assert pool.machine_spec.tpu_topology and pool.machine_spec.machine_type
        container = pool.container_spec
        gcp_resources = words[words.index('--gcp_resources') + 1]
        assert re.fullmatch(r"\{\{\$\.outputs\.parameters\['\w+'\]\.output_file\}\}", gcp_resources)
        return [*container.command, *container.args], {x.name: x.value for x in container.env}

    def _outputs(self, invocation: dict) -> dict[str, dict]:
        written = json.loads(self.engine.read(invocation['outputs']['outputFile']))
        artifacts = {}
        for key, (planned,) in (
            (key, x['artifacts']) for key, x in invocation['outputs']['artifacts'].items()
        ):
            (found,) = written.get('artifacts', {}).get(key, {}).get('artifacts', [{}])
            artifacts[key] = [
                {**planned, **{k: found[k] for k in ('uri', 'metadata') if k in found}}
            ]
        return {'artifacts': artifacts, 'parameters': written.get('parameterValues', {})}
