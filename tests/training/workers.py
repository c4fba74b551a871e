"""Workers of one job on this machine: `avmae pretrain` in processes that TF_CONFIG joins.

TensorFlow is imported once, by the process that runs this file; the workers are its forks, which
begin where a new process would be after five seconds.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path


@contextlib.contextmanager
def free_ports(count: int):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    yield ports


class Workers:
    """`count` of them, the first of which is the chief; each says what it has to say in a file."""

    def __init__(self, count: int, folder: Path, arguments: list):
        with free_ports(count) as ports:
            addresses = [f'127.0.0.1:{port}' for port in ports]
        self.logs = [folder / f'worker-{i}.log' for i in range(count)]
        for log in self.logs:
            log.unlink(missing_ok=True)
        environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])}
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(addresses), str(folder), *map(str, arguments)],
            env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pids = json.loads(self.process.stdout.readline())

    def send(self, index: int, number: signal.Signals) -> None:
        os.kill(self.pids[index], number)

    def wait(self) -> list[int]:
        """Exit codes, or what they were killed by as a negative number."""
        return json.loads(self.process.communicate()[0])

    def said(self, index: int = 0) -> str:
        return self.logs[index].read_text()


def main(addresses: list[str], folder: str, arguments: list[str]) -> None:
    import avmae_tf.training.runs  # noqa: F401 - so that workers have it
    from avmae_tf.cli import main as avmae

    pids = []
    for index in range(len(addresses)):
        pid = os.fork()
        if pid == 0:
            log = os.open(f'{folder}/worker-{index}.log', os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            task = {'type': 'worker', 'index': index}
            os.environ['TF_CONFIG'] = json.dumps({'cluster': {'worker': addresses}, 'task': task})
            sys.argv = ['avmae', *arguments]
            avmae()
            sys.stderr.flush()
            os._exit(0)
        pids.append(pid)
    print(json.dumps(pids), flush=True)
    codes = dict(os.waitpid(pid, 0) for pid in pids)
    print(json.dumps([os.waitstatus_to_exitcode(codes[pid]) for pid in pids]), flush=True)


if __name__ == '__main__':
    main(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:])
