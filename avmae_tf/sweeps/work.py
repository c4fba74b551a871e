"""Carries the runs of a sweep out, one process each, with whoever else works in the same folder.

runs/<run>/settings.json   what the run is trained with
runs/<run>/run/            its folder: checkpoints, logs, model
runs/<run>/result.json     its figures; written last, so that a run that has it is done

Whoever trains a run holds it (`avmae_tf/data/locks.py`), on any machine that sees the folder.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping

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
    measured by `avmae evaluate` as well. `jobs` of them train side by side, each with so many
    `threads`, else all. What another process has in hand is waited for.

    Raises:
        Failed: a run failed, but for one that diverged, which is its result.
    """
    waiting, evaluated = {run.name: run for run in runs}, set(evaluated)
    total, working, others = len(waiting), {}, set()  # others: what other processes have in hand
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        while waiting:
            free = [n for n in waiting if n not in others and n not in working.values()]
            ready = [n for n in free if all(result_of(root, b) for b in waiting[n].before)]
            for name in ready[: jobs - len(working)]:
                given = (root, waiting[name], inputs, name in evaluated, say, threads)
                working[pool.submit(_advance, *given)] = name
            if not working:
                time.sleep(WAIT_SECONDS)
                others.clear()
                continue
            done, _ = concurrent.futures.wait(working, return_when='FIRST_COMPLETED')
            for one in done:
                name = working.pop(one)
                if not one.result():
                    others.add(name)
                    continue
                del waiting[name]
                others.clear()
                say(f'{total - len(waiting)} of {total} runs are done')


def _advance(
    root: str,
    run: Run,
    inputs: Mapping[str, str],
    evaluate: bool,
    say: Say,
    threads: int | None,
) -> bool:
    """Whether a run is done, after working on it if nothing stands in the way."""
    if _is_done(root, run, evaluate):
        return True
    folder = folder_of(root, run)
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    try:
        with held(folder, beside=True):
            if not _is_done(root, run, evaluate):
                _train(root, run, inputs, evaluate, say, threads)
    except Held:
        return False
    return True


def _is_done(root: str, run: Run, evaluate: bool) -> bool:
    result = result_of(root, run)
    return result is not None and (result['evaluated'] or not evaluate)


def _train(
    root: str,
    run: Run,
    inputs: Mapping[str, str],
    evaluate: bool,
    say: Say,
    threads: int | None,
):
    folder = folder_of(root, run)
    data, settings = inputs[run.data], os.path.join(folder, SETTINGS)
    write_text(settings, run.config.to_json() + '\n')
    starts = [s if isinstance(s, str) else s.name for s in run.start]
    say(f'{run.name}{" from " + " and ".join(starts) if starts else ""}')
    if diverged := [s for s in run.before if result_of(root, s)['diverged']]:
        _write(folder, metrics={}, seconds=0.0, diverged=diverged[0].name, evaluated=True)
        return
    training = os.path.join(folder, TRAINING)
    arguments = ['--data', data, '--workdir', training, '--recipe', settings, '--no-pictures']
    for start in run.start:
        path = inputs[start] if isinstance(start, str) else _model(root, start)
        arguments += ['--pretrained', path]
    earlier = result_of(root, run)
    started = time.monotonic()
    error = '' if earlier else _run(run.kind, *arguments, threads=threads)
    seconds = earlier['seconds'] if earlier else time.monotonic() - started
    if error and _DIVERGED not in error:
        raise console.Failed(f'{folder}: {error}')
    if error:
        _write(folder, metrics={}, seconds=seconds, diverged=error, evaluated=True)
        return
    with open_text(os.path.join(training, 'run.json')) as f:
        metrics = json.load(f)['scalars']
    if evaluate:
        metrics |= _evaluate(run, folder, data)
    _write(folder, metrics=metrics, seconds=seconds, diverged='', evaluated=evaluate)


def _evaluate(run: Run, folder: str, data: str) -> dict[str, float | None]:
    model, report = os.path.join(folder, TRAINING, 'model'), os.path.join(folder, 'report')
    if run.kind == 'finetune':
        saved = os.path.join(folder, 'saved')
        if not exists(saved) and (error := _run('export', '--model', model, '--out', saved)):
            raise console.Failed(f'{folder}: {error}')
        model = saved
    arguments = ['--model', model, '--data', data, '--out', report, '--json']
    done = subprocess.run([*_COMMAND, 'evaluate', *arguments], capture_output=True, text=True)
    if done.returncode:
        raise console.Failed(f'{folder}: {_last_line(done.stderr)}')
    return json.loads(_last_line(done.stdout))


def _run(*arguments: str, threads: int | None = None) -> str:
    """Runs a verb of the command; '' if it succeeds, else the last line that it says."""
    environment = {**os.environ, **(dict.fromkeys(_THREADS, str(threads)) if threads else {})}
    done = subprocess.run([*_COMMAND, *arguments], capture_output=True, text=True, env=environment)
    return _last_line(done.stderr) or f'exit code {done.returncode}' if done.returncode else ''


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ''


def _model(root: str, run: Run) -> str:
    return os.path.join(folder_of(root, run), TRAINING, 'model')


def _write(folder: str, **result):
    write_text(os.path.join(folder, RESULT), json.dumps(result, sort_keys=True) + '\n')
