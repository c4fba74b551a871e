"""Vertex AI Pipelines as an engine, through Google's own clients."""

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from avmae_tf.console import Failed
from pipeline.compiler import compile_text
from pipeline.config import PipelineConfig
from pipeline.engines import (
    NO_RUN,
    NO_SCHEDULE,
    TIMEOUT_SECONDS,
    Engine,
    Run,
    Schedule,
    Task,
    Unreachable,
    new_name,
)
from pipeline.targets import VERTEX

CONSOLE = 'https://console.cloud.google.com/vertex-ai/locations'
LOGIN = 'log in with: gcloud auth application-default login'
TASK_STATES = {'SKIPPED': 'CACHED'}  # its word for what the cache served
LISTED = ('name', 'state', 'display_name', 'create_time', 'pipeline_spec.pipeline_info')


class Vertex(Engine):
    """Pipeline jobs of one project and region.

    These are the clients below the SDK's PipelineJob. That one looks for the bucket before each
    job, makes it where it finds none, and hangs where it cannot ask; a compiled file is all that a
    job is, so that nothing of it is missed. Who asks is told by Google's application default
    credentials.
    """

    def __init__(self, config: PipelineConfig) -> None:
        super().__init__(config)
        settings = config.targets.vertex
        assert settings
        self.settings = settings
        self.endpoint = settings.endpoint or f'{settings.region}-aiplatform.googleapis.com'
        self.parent = f'projects/{settings.project}/locations/{settings.region}'
        from google.cloud import aiplatform_v1

        self.types = aiplatform_v1.types
        options = {'api_endpoint': self.endpoint}
        with self._asking():
            self.jobs = aiplatform_v1.PipelineServiceClient(client_options=options)
            self.clock = aiplatform_v1.ScheduleServiceClient(client_options=options)

    def submit(self, parameters: Mapping[str, str]) -> Run:
        job = self._job(parameters)
        with self._asking():
            return self._run(
                self.jobs.create_pipeline_job(
                    parent=self.parent,
                    pipeline_job=job,
                    pipeline_job_id=new_name(self.config),
                    timeout=TIMEOUT_SECONDS,
                )
            )

    def run(self, run_id: str) -> Run:
        name = f'{self.parent}/pipelineJobs/{run_id}'
        with self._asking(NO_RUN.format(run_id, self.parent)):
            return self._run(self.jobs.get_pipeline_job(name=name, timeout=TIMEOUT_SECONDS))

    def runs(self, limit: int) -> list[Run]:
        request = {
            **self._all_of_ours(),
            'page_size': limit,
            'order_by': 'create_time desc',
            'read_mask': {'paths': LISTED},
        }
        with self._asking():
            jobs = self.jobs.list_pipeline_jobs(request, timeout=TIMEOUT_SECONDS)
            return [self._run(job) for job in itertools.islice(jobs, limit)]

    def create_schedule(
        self, cron: str, parameters: Mapping[str, str], timezone: str | None = None
    ) -> Schedule:
        schedule = self.types.Schedule(
            display_name=self.config.name,
            cron=f'TZ={timezone} {cron}' if timezone else cron,
            max_concurrent_run_count=1,
            create_pipeline_job_request={
                'parent': self.parent,
                'pipeline_job': self._job(parameters),
            },
        )
        with self._asking():
            return _schedule(
                self.clock.create_schedule(
                    parent=self.parent, schedule=schedule, timeout=TIMEOUT_SECONDS
                )
            )

    def schedules(self) -> list[Schedule]:
        with self._asking():
            found = self.clock.list_schedules(self._all_of_ours(), timeout=TIMEOUT_SECONDS)
            return [_schedule(x) for x in found]

    def pause(self, schedule_id: str) -> None:
        self._change(self.clock.pause_schedule, schedule_id)

    def resume(self, schedule_id: str) -> None:
        self._change(self.clock.resume_schedule, schedule_id)

    def delete(self, schedule_id: str) -> None:
        operation = self._change(self.clock.delete_schedule, schedule_id)
        with self._asking():
            operation.result(timeout=TIMEOUT_SECONDS)

    def _change(self, change: Any, schedule_id: str) -> Any:
        with self._asking(NO_SCHEDULE.format(schedule_id, self.parent)):
            return change(name=f'{self.parent}/schedules/{schedule_id}', timeout=TIMEOUT_SECONDS)

    def _all_of_ours(self) -> dict[str, Any]:
        return {'parent': self.parent, 'filter': f'display_name="{self.config.name}"'}

    def _job(self, parameters: Mapping[str, str]) -> Any:
        """What a run and a schedule have alike: the compiled file, which is a PipelineJob."""
        job = json.loads(compile_text(self.config, VERTEX))
        job['runtimeConfig']['parameterValues'] |= parameters
        if self.settings.service_account:
            job['serviceAccount'] = self.settings.service_account
        if self.settings.network:
            job['network'] = self.settings.network
        return self.types.PipelineJob.from_json(json.dumps(job))

    def _run(self, job: Any) -> Run:
        name = job.name.rpartition('/')[2]
        region, project = self.settings.region, self.settings.project
        dag = job.pipeline_spec.get('root', {}).get('dag', {}) if job.pipeline_spec else {}
        return Run(
            id=name,
            address=f'{CONSOLE}/{region}/pipelines/runs/{name}?project={project}',
            state=job.state.name.removeprefix('PIPELINE_STATE_'),
            created=job.create_time,
            error=_message(job.error),
            tasks=tuple(  # the run as a whole is one of them, under another name
                Task(x.task_name, TASK_STATES.get(x.state.name, x.state.name), _message(x.error))
                for x in job.job_detail.task_details
                if x.task_name in dag.get('tasks', {})
            ),
        )

    @contextlib.contextmanager
    def _asking(self, unknown: str | None = None) -> Iterator[None]:
        """Questions to the clients; their errors in one line. `unknown` is what a 404 means."""
        from google.api_core import exceptions
        from google.auth import exceptions as auth

        try:
            yield
        except (auth.DefaultCredentialsError, auth.RefreshError) as error:
            raise Failed(f'Google Cloud does not know you ({_line(error)}); {LOGIN}') from error
        except exceptions.Unauthenticated as error:
            raise Failed(f'Google Cloud does not let you in: {_line(error)}; {LOGIN}') from error
        except exceptions.NotFound as error:
            raise ValueError(unknown or f'targets.vertex: {_line(error)}') from None
        except (exceptions.InvalidArgument, exceptions.FailedPrecondition) as error:
            raise ValueError(f'targets.vertex: it is refused: {_line(error)}') from error
        except exceptions.PermissionDenied as error:
            raise Failed(
                f'project {self.settings.project} does not let you: {_line(error)}; it takes '
                'roles/aiplatform.user, and roles/iam.serviceAccountUser for '
                'targets.vertex.service_account'
            ) from error
        except (
            exceptions.ServiceUnavailable,
            exceptions.DeadlineExceeded,
            exceptions.RetryError,
            auth.TransportError,
        ) as error:
            raise Unreachable(
                f'targets.vertex: {self.endpoint} cannot be reached ({_line(error)})'
            ) from error
        except exceptions.GoogleAPICallError as error:
            raise Failed(f'Vertex AI: {_line(error)}') from error


def _schedule(found: Any) -> Schedule:
    return Schedule(
        id=found.name.rpartition('/')[2],
        name=found.display_name,
        cron=found.cron,
        is_paused=found.state.name == 'PAUSED',
    )


def _message(status: Any) -> str:
    return ' '.join(status.message.split())


def _line(error: Any) -> str:
    """What an error says, in one line, without its code."""
    return ' '.join(str(getattr(error, 'message', None) or error).split())
