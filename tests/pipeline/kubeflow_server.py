"""Kubeflow's API on this machine: REST v2beta1, which refuses what the real server refuses."""

import json
import re
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

API = '/apis/v2beta1'
CODES = {400: 3, 401: 16, 404: 5}  # those of gRPC, which the answers carry


class Refused(Exception):
    """(status, why) of an answer that is none."""


def check_specification(body: dict):
    """Raises Refused, as the server's compiler does."""
    document = body['pipeline_spec']
    platform = {}
    if 'pipeline_spec' in document:
        document, platform = document['pipeline_spec'], document['platform_spec']
    deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
    try:
        spec = json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(document['deploymentSpec'], deployment)
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as error:
        raise Refused(400, f'invalid v2 pipeline spec: {error}') from None
    if spec.schema_version != '2.1.0':
        raise Refused(400, f'KFP only supports schema version 2.1.0, not {spec.schema_version}')
    for label, executor in deployment.executors.items():
        if executor.WhichOneof('spec') not in ('container', 'importer'):
            raise Refused(400, f'executor(label="{label}"): not implemented')
    inputs = spec.root.input_definitions.parameters
    given = body['runtime_config'].get('parameters', {})
    for name in given:
        if name not in inputs:
            raise Refused(400, f'parameter {name} is not an input of the pipeline')
    for name, definition in inputs.items():
        if name not in given and not definition.is_optional:
            raise Refused(400, f'parameter {name} is required')


class KubeflowServer:
    """A server for as long as the `with` block lasts.

    Attributes:
        states: Of every run, one after the other at each look; the last one stays. Each is a state
            and the tasks' states and errors by name.
        at_success: Is called with the id of a run whose last state is SUCCEEDED, once it is seen.
        token: What a client has to bring, '' for nothing.
        login: Whether everything is answered with the page of a login, as some proxies do.
        outage: So many questions are answered with 503.
    """

    def __init__(self, *, multi_user: bool = False, token: str = ''):
        self.multi_user, self.token, self.login, self.outage = multi_user, token, False, 0
        self.states: list[tuple[str, dict[str, tuple[str, str]]]] = [('SUCCEEDED', {})]
        self.at_success: Callable[[str], object] = lambda run: None
        self.runs, self.recurring, self.experiments = {}, {}, {}
        self.looks: dict[str, int] = {}
        self.http = ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
        self.http.api = self
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    @property
    def address(self) -> str:
        return f'http://127.0.0.1:{self.http.server_port}'

    def answer(self, method: str, path: str, query: dict, body: dict) -> dict:
        kind, _, name = path.removeprefix(f'{API}/').partition('/')
        match method, kind, name:
            case 'GET', 'healthz', '':
                return {'multi_user': self.multi_user}
            case 'GET', 'experiments', '':
                return {'experiments': self._experiments(query)}
            case 'POST', 'experiments', '':
                self._check_namespace(body)
                return self._add(self.experiments, 'experiment_id', body)
            case 'POST', 'runs', '':
                check_specification(body)
                return self._add(self.runs, 'run_id', body)
            case 'GET', 'runs', '':
                return {'runs': self._of_experiment(self.runs, query)}
            case 'GET', 'runs', _:
                return self._look(self._known(self.runs, name))
            case 'POST', 'recurringruns', '':
                check_specification(body)
                return self._add(self.recurring, 'recurring_run_id', self._scheduled(body))
            case 'GET', 'recurringruns', '':
                return {'recurringRuns': self._of_experiment(self.recurring, query)}
            case 'DELETE', 'recurringruns', _:
                self._known(self.recurring, name)
                del self.recurring[name]
                return {}
        if method == 'POST' and (found := re.fullmatch(r'(.*):(enable|disable)', name)):
            status = {'enable': 'ENABLED', 'disable': 'DISABLED'}[found[2]]
            self._known(self.recurring, found[1])['status'] = status
            return {}
        raise Refused(404, f'{method} {path}')

    def _check_namespace(self, given: dict):
        if self.multi_user and not given.get('namespace'):
            raise Refused(400, 'Namespace is empty: a resource must have a namespace')

    def _experiments(self, query: dict) -> list:
        self._check_namespace(query)
        (predicate,) = json.loads(query['filter'])['predicates']
        key, value = predicate['key'], predicate['stringValue']
        return [x for x in self.experiments.values() if x[key] == value]

    def _add(self, table: dict, key: str, body: dict) -> dict:
        if key != 'experiment_id':
            self._known(self.experiments, body['experiment_id'])
        number = f'{len(self.runs) + len(self.recurring) + len(self.experiments) + 1:012d}'
        identity = f'{key[0] * 8}-0000-4000-8000-{number}'.replace('r', 'a')
        created = f'2026-11-02T03:00:{len(table):02d}Z'
        table[identity] = {**body, key: identity, 'created_at': created}
        return table[identity]

    @staticmethod
    def _known(table: dict, identity: str) -> dict:
        if identity not in table:
            raise Refused(404, f'{identity} not found')
        return table[identity]

    def _of_experiment(self, table: dict, query: dict) -> list:
        found = [x for x in table.values() if x['experiment_id'] == query['experiment_id']]
        if query.get('sort_by') == 'created_at desc':
            found.reverse()
        return found[: int(query['page_size'])]

    def _look(self, run: dict) -> dict:
        number = self.looks.setdefault(run['run_id'], 0)
        state, tasks = self.states[min(number, len(self.states) - 1)]
        if state == 'SUCCEEDED':
            self.at_success(run['run_id'])
        self.looks[run['run_id']] += 1
        details = []
        for name, (of_task, error) in tasks.items():
            task = {'display_name': name, 'state': of_task}
            # beside each component there are a driver and a pod, and the pod has the message
            pod = {'display_name': 'executor', 'state': of_task}
            if error:
                pod['error'] = {'code': 2, 'message': error}
            details += [{'display_name': f'{name}-driver', 'state': 'SUCCEEDED'}, task, pod]
        run |= {'state': state, 'run_details': {'task_details': details}}
        return run

    @staticmethod
    def _scheduled(body: dict) -> dict:
        cron = body['trigger']['cron_schedule']['cron']
        if len(cron.split()) != 6:
            raise Refused(400, f'Schedule cron is not supported: expected 6 fields, found {cron}')
        return {**body, 'status': 'ENABLED' if body['mode'] == 'ENABLE' else 'DISABLED'}


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def _answer(self):
        api: KubeflowServer = self.server.api
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        try:
            if api.outage:
                api.outage -= 1
                raise Refused(503, 'no healthy upstream')
            if api.token and self.headers.get('Authorization') != f'Bearer {api.token}':
                raise Refused(401, 'Request header error: there is no user identity header')
            status, found = 200, api.answer(self.command, url.path, query, json.loads(body or '{}'))
        except Refused as refused:
            status, why = refused.args
            found = {'error': why, 'code': CODES.get(status, 14), 'message': why, 'details': []}
        kind, content = 'application/json', json.dumps(found).encode()
        if api.login:
            status, kind, content = 200, 'text/html', b'<html>Log in'
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer
