"""Carries the runs of a sweep out, one process each, with whoever else works in the same folder.

runs/<run>/settings.json   what the run is trained with
runs/<run>/run/            its folder: checkpoints, logs, model
runs/<run>/result.json     its figures; written last, so that a run that has it is done

Whoever trains a run holds it (`avmae_tf/data/locks.py`), on any machine that sees the folder.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from avmae_tf import console
from avmae_tf.data.locks import Held, held
from avmae_tf.storage import exists, open_text, write_text
from avmae_tf.sweeps.runs import Run

RUNS, RESULT, SETTINGS, TRAINING = 'runs', 'result.json', 'settings.json', 'run'
WAIT_SECONDS = 5.0  # between two looks at runs that others have in hand
_COMMAND = [sys.executable, '-c', 'from avmae_tf.cli import main; main()']
_DIVERGED = 'is not finite at step'  # of the line that a training ends with

_THREADS = ('TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS')  # as TensorFlow reads them

Say = Callable[[str], None]


def folder_of(root: str, run: Run) -> str:
    """Where a run is."""
    return os.path.join(root, RUNS, run.name)


def result_of(root: str, run: Run) -> dict | None:
    """The figures of a run that is done: `metrics` by name, `seconds`; None before that."""
    path = os.path.join(folder_of(root, run), RESULT)
    if not exists(path):
        return None
    with open_text(path) as f:
        return json.load(f)


def carry_out(
    root: str,
    runs: Iterable[Run],
    inputs: Mapping[str, str],
    evaluated: Iterable[str],
    say: Say,
    jobs: int = 1,
    threads: int | None = None,
) -> None:
    """Trains what is not done yet of `runs`, which come after those that they start from.

    `inputs` are paths of records and models by name; runs whose names are in `evaluated` are
    measured by `avmae evaluate` as well. `jobs` of them train side by side, each on so many
    `threads` of the CPU; without, on whatever devices there are. What another process has in hand
    is waited for. Whoever is told to end (SIGTERM) tells the runs, and these save where they are.

    Raises:
        Failed: a run failed, but for one that diverged, which is its result. What trains beside it
            comes to its end first.
    """
    waiting, evaluated = {run.name: run for run in runs}, set(evaluated)
    workshop = _Workshop(root, inputs, say, threads)
    total, working, failed = len(waiting), {}, None
    others: set[str] = set()  # what other processes have in hand
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool, workshop.open():
        while working or (waiting and not failed):
            free = [n for n in waiting if n not in others and n not in working.values()]
            ready = [n for n in free if all(result_of(root, b) for b in waiting[n].before)]
            for name in [] if failed else ready[: jobs - len(working)]:
                working[pool.submit(workshop.advance, waiting[name], name in evaluated)] = name
            done, _ = concurrent.futures.wait(working, WAIT_SECONDS, 'FIRST_COMPLETED')
            if not done:
                others.clear()  # or done by now, and what starts from it is ready
            if not working:
                time.sleep(WAIT_SECONDS)
            for one in done:
                name, error = working.pop(one), one.exception()
                if error:
                    failed = failed or error
                    say(f'{name} failed')
                elif not one.result():
                    others.add(name)
                else:
                    del waiting[name]
                    say(f'{total - len(waiting)} of {total} runs are done')
    if failed:
        raise failed


@dataclasses.dataclass
class _Workshop:
    """Where runs are trained, from which inputs, and with how many threads each."""

    root: str
    inputs: Mapping[str, str]
    say: Say
    threads: int | None
    processes: set[subprocess.Popen] = dataclasses.field(default_factory=set)
    closed: bool = False

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """As long as the block lasts; where an error or a signal ends it, so do the processes."""
        main = threading.current_thread() is threading.main_thread()
        handler = signal.signal(signal.SIGTERM, _leave) if main else None
        try:
            yield
        except BaseException:
            self.closed = True
            for process in self.processes.copy():
                process.terminate()
            raise
        finally:
            if main:
                signal.signal(signal.SIGTERM, handler)

    def advance(self, run: Run, evaluate: bool) -> bool:
        """Whether a run is done, after working on it if nothing stands in the way."""
        if self._is_done(run, evaluate):
            return True
        folder = folder_of(self.root, run)
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        try:
            with held(folder, beside=True):
                if exists(training := os.path.join(folder, TRAINING)):
                    with held(training):
                        pass  # nor does a training go on there whose sweep was killed
                if not self._is_done(run, evaluate):
                    self._train(run, folder, evaluate)
        except Held:
            return False
        return True

    def _is_done(self, run: Run, evaluate: bool) -> bool:
        result = result_of(self.root, run)
        return result is not None and (result['evaluated'] or not evaluate)

    def _train(self, run: Run, folder: str, evaluate: bool):
        data, settings = self.inputs[run.data], os.path.join(folder, SETTINGS)
        write_text(settings, run.config.to_json() + '\n')
        starts = [s if isinstance(s, str) else s.name for s in run.start]
        self.say(f'{run.name}{" from " + " and ".join(starts) if starts else ""}')
        if diverged := [s for s in run.before if result_of(self.root, s)['diverged']]:
            _write(folder, metrics={}, seconds=0.0, diverged=diverged[0].name, evaluated=True)
            return
        training = os.path.join(folder, TRAINING)
        arguments = ['--data', data, '--workdir', training, '--recipe', settings, '--no-pictures']
        arguments += ['--device', 'cpu'] if self.threads else []
        for start in run.start:
            known = isinstance(start, str)
            arguments += ['--pretrained', self.inputs[start] if known else self._model(start)]
        earlier = result_of(self.root, run)
        started = time.monotonic()
        error = '' if earlier else self._call(run.kind, *arguments)[1]
        seconds = earlier['seconds'] if earlier else time.monotonic() - started
        if error and _DIVERGED not in error:
            raise console.Failed(f'{folder}: {error}')
        if error:
            _write(folder, metrics={}, seconds=seconds, diverged=error, evaluated=True)
            return
        with open_text(os.path.join(training, 'run.json')) as f:
            metrics = json.load(f)['scalars']
        if evaluate:
            metrics |= self._evaluate(run, folder, data)
        _write(folder, metrics=metrics, seconds=seconds, diverged='', evaluated=evaluate)

    def _evaluate(self, run: Run, folder: str, data: str) -> dict[str, float | None]:
        model, saved = self._model(run), os.path.join(folder, 'saved')
        if run.kind == 'finetune':
            if not exists(saved):
                self._must(folder, 'export', '--model', model, '--out', saved)
            model = saved
        report = os.path.join(folder, 'report')
        arguments = ['--model', model, '--data', data, '--out', report, '--json']
        return json.loads(self._must(folder, 'evaluate', *arguments))

    def _must(self, folder: str, *arguments: str) -> str:
        said, error = self._call(*arguments)
        if error:
            raise console.Failed(f'{folder}: {error}')
        return said

    def _call(self, *arguments: str) -> tuple[str, str]:
        """Runs a verb of the command; the last line that it prints, and, if it fails, its error."""
        cpu = {**dict.fromkeys(_THREADS, str(self.threads)), 'CUDA_VISIBLE_DEVICES': ''}
        if self.closed:
            raise console.Failed('the sweep was told to end')
        process = subprocess.Popen(
            [*_COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(cpu if self.threads else {})},
        )
        self.processes.add(process)
        if self.closed:  # meanwhile
            process.terminate()
        said, wrong = map(_last_line, process.communicate())
        self.processes.discard(process)
        return said, (wrong or f'exit code {process.returncode}') if process.returncode else ''

    def _model(self, run: Run) -> str:
        return os.path.join(folder_of(self.root, run), TRAINING, 'model')


def _leave(*_):
    sys.exit(128 + signal.SIGTERM)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ''


def _write(folder: str, **result):
    write_text(os.path.join(folder, RESULT), json.dumps(result, sort_keys=True) + '\n')
