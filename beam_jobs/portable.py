"""Two faults of Beam with workers in processes of their own, put right where this is imported.

A worker that is gone, killed by the system for its memory perhaps, was waited for without end; now
the job fails and says so. And a job on a portable runner (Flink, Spark, Beam's job service) was
given up after `job_server_timeout`, a minute, which is meant for the answers of its server.

`python -m beam_jobs.portable --port 8099` is Beam's own job service, for one machine.
"""

import contextlib
import sys
from typing import Any

from apache_beam.runners.portability import local_job_service_main, portable_runner
from apache_beam.runners.portability.fn_api_runner import worker_handlers

from avmae_tf.console import Failed


class WorkerLostError(Failed):
    """A worker ended before its work was done."""

    def __init__(self) -> None:
        what = 'a worker process ended, or was ended, before its work was done'
        super().__init__(f'{what}; run the same command again: what is done is kept')


class _Connection(worker_handlers.ControlConnection):
    """The runner's line to a worker, which notices when it breaks."""

    is_broken = False

    def _read(self) -> None:
        with contextlib.suppress(Exception):  # gRPC's, of no class; or the stream just ends
            super()._read()
        self.is_broken = True
        for future in [*self._futures_by_id.values()]:
            future.abort(WorkerLostError())

    def push(self, req: Any) -> Any:
        future = super().push(req)
        if self.is_broken and future:
            future.abort(WorkerLostError())
        return future


class _Handle(portable_runner.JobServiceHandle):
    """A client of a job server, which listens to a job for as long as it takes."""

    def run(self, preparation_id: str) -> Any:
        self.timeout = None
        return super().run(preparation_id)


worker_handlers.ControlConnection = _Connection
portable_runner.JobServiceHandle = _Handle

if __name__ == '__main__':
    local_job_service_main.run(sys.argv[1:])
