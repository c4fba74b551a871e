"""Kubeflow Pipelines 2 as an engine, through its own client."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from avmae_tf.storage import write_text
from pipeline.compiler import FILES, compile_text
from pipeline.config import PipelineConfig
from pipeline.engines import (
    CANCELLED,
    NO_RUN,
    NO_SCHEDULE,
    PENDING,
    Engine,
    Run,
    Schedule,
    Task,
    new_name,
)
from pipeline.kubeflow_client import HOST, asking, connect
from pipeline.targets import KUBEFLOW

MAX_SCHEDULES = 100


class Kubeflow(Engine):
    """Runs of one experiment.

    Who asks is told by what kfp knows: a token in the file that KF_PIPELINES_SA_TOKEN_PATH names,
    a cookie in ~/.config/kfp/context.json, or the variables of Google's IAP.
    """

    def __init__(self, config: PipelineConfig) -> None:
        super().__init__(config)
        settings = config.targets.kubeflow
        assert settings
        if not settings.host:
            raise ValueError(f'{HOST}: is missing; give the address that the API answers at')
        self.settings, self.host = settings, settings.host.rstrip('/')
        with asking(self.host):
            self.client = connect(self.host, settings.namespace)
            namespace = self.client.get_user_namespace()
            if not namespace and self.client.get_kfp_healthz().multi_user:
                raise ValueError(
                    'targets.kubeflow.namespace: is missing, and this Kubeflow has several users; '
                    'give the one of your profile'
                )

    def submit(self, parameters: Mapping[str, str]) -> Run:
        with self._job(parameters) as job, asking(self.host):
            return self._run(self.client.run_pipeline(job_name=new_name(self.config), **job))

    def run(self, run_id: str) -> Run:
        with asking(self.host, NO_RUN.format(run_id, self.host)):
            return self._run(self.client.get_run(run_id))

    def runs(self, limit: int) -> list[Run]:
        if not (experiment := self._experiment()):
            return []
        with asking(self.host):
            found = self.client.list_runs(
                experiment_id=experiment, page_size=limit, sort_by='created_at desc'
            )
        return [self._run(run) for run in found.runs or []]

    def create_schedule(
        self, cron: str, parameters: Mapping[str, str], timezone: str | None = None
    ) -> Schedule:
        if timezone:
            raise ValueError(
                "timezone: Kubeflow's schedules are in that of its controller (UTC, unless its "
                'CRON_SCHEDULE_TIMEZONE says another); leave it out'
            )
        with self._job(parameters) as job, asking(self.host):
            return _schedule(
                self.client.create_recurring_run(
                    job_name=self.config.name,
                    cron_expression=f'0 {cron}',  # theirs begins with seconds
                    max_concurrency=1,
                    no_catchup=True,  # the next run sees all that a missed one would have
                    **job,
                )
            )

    def schedules(self) -> list[Schedule]:
        if not (experiment := self._experiment()):
            return []
        with asking(self.host):
            found = self.client.list_recurring_runs(
                experiment_id=experiment, page_size=MAX_SCHEDULES
            )
        return [_schedule(x) for x in found.recurring_runs or []]

    def pause(self, schedule_id: str) -> None:
        self._change(self.client.disable_recurring_run, schedule_id)

    def resume(self, schedule_id: str) -> None:
        self._change(self.client.enable_recurring_run, schedule_id)

    def delete(self, schedule_id: str) -> None:
        self._change(self.client.delete_recurring_run, schedule_id)

    def _change(self, change: Any, schedule_id: str) -> None:
        with asking(self.host, NO_SCHEDULE.format(schedule_id, self.host)):
            change(schedule_id)

    @contextlib.contextmanager
    def _job(self, parameters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """What a run and a schedule have alike; the client wants the specification as a file."""
        text = compile_text(self.config, KUBEFLOW)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, FILES[KUBEFLOW])
            write_text(path, text)
            with asking(self.host):
                experiment = self.client.create_experiment(
                    self.settings.experiment, namespace=self.settings.namespace
                )
            yield {
                'experiment_id': experiment.experiment_id,
                'pipeline_package_path': path,
                'params': {**self.config.settings.parameters, **parameters},
                'pipeline_root': self.config.pipeline_root,
                'service_account': self.settings.service_account,
            }

    def _experiment(self) -> str:
        """Id of the experiment; '' before its first run."""
        with asking(self.host):
            try:
                found = self.client.get_experiment(
                    experiment_name=self.settings.experiment, namespace=self.settings.namespace
                )
            except ValueError:  # kfp's way to say that there is none
                return ''
        return str(found.experiment_id)

    def _run(self, run: Any) -> Run:
        spec = run.pipeline_spec or {}
        named = spec.get('pipeline_spec', spec).get('root', {}).get('dag', {}).get('tasks', {})
        details = (run.run_details and run.run_details.task_details) or []
        errors = [_message(x.error) for x in (run, *details) if x.error]
        return Run(
            id=run.run_id,
            address=f'{(self.settings.ui or self.host).rstrip("/")}/#/runs/details/{run.run_id}',
            state=_state(run.state),
            created=run.created_at,
            error=next(filter(None, errors), ''),
            tasks=tuple(  # each has a driver and a pod beside it, which have names of their own
                Task(x.display_name, _state(x.state), _message(x.error))
                for x in details
                if x.display_name in named
            ),
        )


def _schedule(found: Any) -> Schedule:
    seconds, _, cron = found.trigger.cron_schedule.cron.partition(' ')
    return Schedule(
        id=found.recurring_run_id,
        name=found.display_name,
        cron=cron if seconds == '0' else found.trigger.cron_schedule.cron,
        is_paused=found.status == 'DISABLED',
    )


def _state(state: str | None) -> str:
    other = {None: PENDING, 'CANCELED': CANCELLED, 'SKIPPED': CANCELLED}
    return other.get(state, str(state))


def _message(status: Any) -> str:
    return ' '.join(((status and status.message) or '').split())
