"""Vertex AI's API on this machine: gRPC over TLS in Google's own protocol, for its own clients."""

import datetime
import ipaddress
import json
import re
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, json_format
from kfp.pipeline_spec import pipeline_spec_pb2

PARENT = re.compile(r'projects/[a-z0-9-]+/locations/[a-z0-9-]+')
JOB_ID = re.compile(r'[a-z][-a-z0-9]{0,127}')
LABEL = re.compile(r'[a-z0-9_-]{0,63}')
ROOTS = 'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'
SERVICES = 'google.cloud.aiplatform.v1'
NOW = datetime.datetime(2026, 11, 2, 3, tzinfo=datetime.timezone.utc)


class Refused(Exception):
    """(status code, why) of an answer that is none."""


def invalid(why: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, why)


def check_job(parent: str, job: types.PipelineJob):
    """Raises Refused, as the service does before it takes a job."""
    if not PARENT.fullmatch(parent):
        raise invalid(f'parent: {parent}')
    document = json_format.MessageToDict(types.PipelineJob.pb(job).pipeline_spec)
    try:
        spec = json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        raise invalid(f'pipeline_spec: {error}') from None
    root = job.runtime_config.gcs_output_directory
    if not root.startswith('gs://'):
        raise invalid(f'runtime_config.gcs_output_directory must be in Cloud Storage, got {root}')
    inputs, given = spec.root.input_definitions.parameters, job.runtime_config.parameter_values
    for name in given:
        if name not in inputs:
            raise invalid(f'runtime_config.parameter_values: {name} is not an input')
    for name, definition in inputs.items():
        if name not in given and not definition.is_optional:
            raise invalid(f'runtime_config.parameter_values: {name} is missing')
    for text in (*job.labels, *job.labels.values()):
        if not LABEL.fullmatch(text):
            raise invalid(f'labels: {text}')


class VertexServer:
    """A server for as long as the `with` block lasts.

    Attributes:
        states: Of every job, one after the other at each look; the last one stays. Each is a state
            and the tasks' states and errors by name.
        at_success: Is called with the id of a job whose last state is SUCCEEDED, once it is seen.
        outage: So many questions are answered with UNAVAILABLE.
    """

    def __init__(self, certificate: 'Certificate'):
        self.states: list[tuple[str, dict[str, tuple[str, str]]]] = [('SUCCEEDED', {})]
        self.at_success: Callable[[str], object] = lambda job: None
        self.jobs, self.schedules, self.looks, self.outage = {}, {}, {}, 0
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        for service, names in {
            'PipelineService': ('CreatePipelineJob', 'GetPipelineJob', 'ListPipelineJobs'),
            'ScheduleService': (
                *('CreateSchedule', 'ListSchedules'),
                *('PauseSchedule', 'ResumeSchedule', 'DeleteSchedule'),
            ),
        }.items():
            handlers = {name: self._handler(name) for name in names}
            self.server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(f'{SERVICES}.{service}', handlers),)
            )
        credentials = grpc.ssl_server_credentials([certificate.pair])
        self.port = self.server.add_secure_port('127.0.0.1:0', credentials)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *error):
        self.server.stop(None).wait()

    @property
    def address(self) -> str:
        return f'localhost:{self.port}'

    def _handler(self, name: str):
        method = getattr(self, re.sub('(?<!^)(?=[A-Z])', '_', name).lower())
        request_type = getattr(types, f'{name}Request')

        def answer(request, context):
            try:
                if self.outage:
                    self.outage -= 1
                    raise Refused(grpc.StatusCode.UNAVAILABLE, 'no healthy upstream')
                caller = dict(context.invocation_metadata()).get('authorization', '')
                if not caller.startswith('Bearer ey'):
                    raise Refused(grpc.StatusCode.UNAUTHENTICATED, 'no credentials')
                return method(request)
            except Refused as refused:
                context.abort(*refused.args)

        def to_bytes(message) -> bytes:
            pb = getattr(type(message), 'pb', None)
            return (pb(message) if pb else message).SerializeToString()

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=request_type.deserialize, response_serializer=to_bytes
        )

    def create_pipeline_job(self, request):
        check_job(request.parent, request.pipeline_job)
        if not JOB_ID.fullmatch(request.pipeline_job_id):
            raise invalid(f'pipeline_job_id: {request.pipeline_job_id}')
        job = request.pipeline_job
        job.name = f'{request.parent}/pipelineJobs/{request.pipeline_job_id}'
        if job.name in self.jobs:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, job.name)
        job.state = types.PipelineState.PIPELINE_STATE_PENDING
        job.create_time = NOW + datetime.timedelta(minutes=len(self.jobs))
        self.jobs[job.name] = job
        return job

    def get_pipeline_job(self, request):
        job = self._known(self.jobs, request.name)
        number = self.looks.setdefault(job.name, 0)
        self.looks[job.name] += 1
        state, tasks = self.states[min(number, len(self.states) - 1)]
        if state == 'SUCCEEDED':
            self.at_success(job.name.rpartition('/')[2])
        job.state = types.PipelineState[f'PIPELINE_STATE_{state}']
        whole = types.PipelineTaskDetail(task_name=job.name.rpartition('/')[2], state='RUNNING')
        job.job_detail.task_details = [
            whole,
            *(
                types.PipelineTaskDetail(
                    task_name=name, state=of_task, error={'code': 9, 'message': error}
                )
                for name, (of_task, error) in tasks.items()
            ),
        ]
        return job

    def list_pipeline_jobs(self, request):
        assert request.order_by == 'create_time desc'
        found = reversed(self._ours(self.jobs, request))
        listed = [types.PipelineJob({n: getattr(x, n) for n in self.LISTED}) for x in found]
        return types.ListPipelineJobsResponse(pipeline_jobs=listed)

    LISTED = ('name', 'state', 'display_name', 'create_time')

    def create_schedule(self, request):
        schedule = request.schedule
        job = schedule.create_pipeline_job_request
        check_job(job.parent, job.pipeline_job)
        if not re.fullmatch(r'(TZ=\S+ )?\S+( \S+){4}', schedule.cron):
            raise invalid(f'cron: {schedule.cron}')
        if schedule.max_concurrent_run_count < 1:
            raise invalid('max_concurrent_run_count must be positive')
        schedule.name = f'{request.parent}/schedules/{1000 + len(self.schedules)}'
        schedule.state = types.Schedule.State.ACTIVE
        self.schedules[schedule.name] = schedule
        return schedule

    def list_schedules(self, request):
        return types.ListSchedulesResponse(schedules=self._ours(self.schedules, request))

    def pause_schedule(self, request):
        self._known(self.schedules, request.name).state = types.Schedule.State.PAUSED
        return empty_pb2.Empty()

    def resume_schedule(self, request):
        assert not request.catch_up
        self._known(self.schedules, request.name).state = types.Schedule.State.ACTIVE
        return empty_pb2.Empty()

    def delete_schedule(self, request):
        self._known(self.schedules, request.name)
        del self.schedules[request.name]
        nothing = any_pb2.Any()
        nothing.Pack(empty_pb2.Empty())
        return operations_pb2.Operation(name='operations/1', done=True, response=nothing)

    @staticmethod
    def _known(table: dict, name: str):
        if name not in table:
            raise Refused(grpc.StatusCode.NOT_FOUND, f'{name} is not found')
        return table[name]

    @staticmethod
    def _ours(table: dict, request) -> list:
        name = re.fullmatch('display_name="(.*)"', request.filter)[1]
        return [x for x in table.values() if x.display_name == name]


class Certificate:
    """A key and a certificate for localhost that is its own authority."""

    def __init__(self, folder: Path):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'localhost')])
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
        names = [x509.DNSName('localhost'), x509.IPAddress(ipaddress.ip_address('127.0.0.1'))]
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        public = certificate.public_bytes(serialization.Encoding.PEM)
        self.pair = (_pem(key), public)
        self.path = folder / 'authority.pem'
        self.path.write_bytes(public)


def write_account(path: Path):
    """A file with a service account, whose tokens its owner signs without asking anybody."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = {
        'type': 'service_account',
        'project_id': 'project',
        'client_email': 'someone@project.iam.gserviceaccount.com',
        'token_uri': 'http://127.0.0.1:9/token',  # nothing is there
        'private_key': _pem(key).decode(),
        'private_key_id': '1',
    }
    path.write_text(json.dumps(account))


def _pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
