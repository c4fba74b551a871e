"""Containers as forks of a process that holds TFX: they begin where others are after ten seconds.

A line on its standard input starts a container; it answers with the process's id, and at its end
with the exit code.
"""

import importlib
import json
import os
import runpy
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HELD = (  # what components import, but for the module that is run
    'pipeline.pipeline',
    'avmae_tf.training.runs',
    'avmae_tf.training.export',
    'tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor',
)


class Forks:
    """Starts containers, one at a time, as long as the `with` block lasts.

    What is in `environment` they have whatever their own variables say.
    """

    def __init__(self, environment: Mapping[str, str]):
        self.environment, pipe = dict(environment), subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=pipe, stdout=pipe, bufsize=0,
            env={**os.environ, 'PYTHONPATH': str(ROOT), **environment},
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()

    def start(self, words: list[str], variables: Mapping[str, str], log: Path, cwd: Path) -> int:
        """Runs `words` as a shell would, adding what it says to `log`; returns the process's id."""
        variables = {**variables, **self.environment}
        request = {'words': words, 'variables': variables, 'log': str(log), 'cwd': str(cwd)}
        self.process.stdin.write(json.dumps(request).encode() + b'\n')
        return int(self.process.stdout.readline())

    def code(self, seconds: float) -> int | None:
        """The exit code of the container, or None if it has not ended within `seconds`."""
        ended, _, _ = select.select([self.process.stdout], [], [], seconds)
        return int(self.process.stdout.readline()) if ended else None


def become(words: list[str], variables: dict[str, str], log: str, cwd: str) -> None:
    """Makes this process the container."""
    os.setsid()
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, said), (2, said)):
        os.dup2(file, number)
    os.chdir(cwd)
    os.environ.update(variables)
    python, option, module, *arguments = words
    assert (python, option) == ('python', '-m')
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name='__main__', alter_sys=True)


def main() -> None:
    for name in HELD:
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                become(**json.loads(line))
            finally:
                os._exit(1)  # it ends itself
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == '__main__':
    main()
