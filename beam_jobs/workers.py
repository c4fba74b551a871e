"""Decodes clips in processes of their own, so that a harmful file loses its own clips alone.

Decoders are native code that is given whatever people upload. What crashes, hangs or wants too
much memory takes a worker with it, which is replaced, and becomes an `UnusableClip`. The workers of
a process, at most one a CPU, are started when they are needed, serve one file after another, hold
neither TensorFlow (but for files in buckets) nor Beam, and end when their parent does.

A file's clips come one by one out of one pass over it, each asked for by a task of its own; so a
decoder is a pool of one process, which keeps the pass between tasks.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import context, popen_forkserver, spawn
from typing import Any

import pebble

from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.storage import gfile, is_remote
from beam_jobs import container
from beam_jobs.media import Clip, Wanted, decode_wanted
from beam_jobs.reasons import Reason, UnusableClip

MAX_DEATHS = 5  # of workers by one file; what is left of its clips is then set aside unopened
TIMERS = {signal.ITIMER_REAL: signal.SIGALRM, signal.ITIMER_PROF: signal.SIGPROF}


def decode_clips(
    path: str,
    wanted: Sequence[Wanted],
    spec: MediaSpec,
    limits: ClipLimits = ClipLimits(),
) -> Iterator[Clip | UnusableClip]:
    """Clips of one video, in the order given, each as soon as it is there; nothing is raised.

    Where the pass that serves them all ends the worker, they are taken one by one, so that only
    those are lost that do it alone; so is a single one whose worker somebody else ended.
    """
    path, done = os.fspath(path), 0
    if not is_remote(path):
        path = os.path.abspath(path)  # children began in what was the working directory then
    with _decoder() as decoder:
        try:
            for outcome in decoder.clips(path, wanted, spec, limits):
                yield outcome
                done += 1
        except _Death as death:
            deaths = [death]
        for segment in wanted[done:]:
            again = len(wanted) > 1 or deaths[-1].exitcode == -signal.SIGKILL  # no fault of its own
            if again and len(deaths) < MAX_DEATHS:
                try:
                    yield from decoder.clips(path, [segment], spec, limits)
                    continue
                except _Death as death:
                    deaths.append(death)
            yield deaths[-1].unusable(path, limits)


def decode_clip(
    path: str,
    spec: MediaSpec,
    limits: ClipLimits = ClipLimits(),
) -> Clip:
    """The whole file as a clip.

    Raises:
        UnusableClip: and nothing else.
    """
    (outcome,) = decode_clips(path, [Wanted()], spec, limits)
    if isinstance(outcome, UnusableClip):
        raise outcome
    return outcome


class _Death(Exception):
    """A worker ended, or was out of memory, before the clip was there."""

    def __init__(self, exitcode: int | None) -> None:
        self.exitcode = exitcode

    def unusable(self, path: str, limits: ClipLimits) -> UnusableClip:
        if self.exitcode in (None, -signal.SIGKILL):  # by the kernel, if by nobody else
            what = f'decoding takes more than {limits.memory_mb} MB of memory, or than there is'
            return UnusableClip(Reason.OUT_OF_MEMORY, f'{path}: {what}')
        if self.exitcode == -signal.SIGALRM:
            what = f'no {container.STEP_SECONDS} s further within {limits.seconds:g} s'
            return UnusableClip(Reason.TIMED_OUT, f'{path}: {what}')
        if self.exitcode == -signal.SIGPROF:
            what = f'no {container.STEP_SECONDS} s further in {limits.cpu_seconds:g} s of CPU time'
            return UnusableClip(Reason.TIMED_OUT, f'{path}: {what}')
        what = f'exit code {self.exitcode}'
        if self.exitcode < 0:
            what = signal.strsignal(-self.exitcode) or what
        return UnusableClip(Reason.CRASHED, f'{path}: the decoder crashed ({what})')


class _Decoder:
    """One worker process, replaced by another when it dies."""

    def __init__(self) -> None:
        self._pool = _new_pool()

    def clips(
        self, path: str, wanted: Sequence[Wanted], spec: MediaSpec, limits: ClipLimits
    ) -> Iterator[Clip | UnusableClip]:
        """Raises _Death."""
        for number in range(len(wanted)):
            yield self._ask(*(() if number else (path, wanted, spec, limits)))

    def _ask(self, *request: Any) -> Clip | UnusableClip:
        try:
            return self._pool.schedule(_next_clip, args=request).result()
        except pebble.ProcessExpired as error:
            raise _Death(error.exitcode) from None
        except MemoryError:
            raise _Death(None) from None
        except RuntimeError:  # the pool is broken: its worker was ended while it had nothing to do
            self._pool = _new_pool()
            if not request:
                raise _Death(-signal.SIGKILL) from None
            return self._pool.schedule(_next_clip, args=request).result()


_slots = threading.Semaphore(os.cpu_count() or 1)
_idle: list[_Decoder] = []


@contextlib.contextmanager
def _decoder() -> Iterator[_Decoder]:
    with _slots:
        try:
            decoder = _idle.pop()
        except IndexError:
            decoder = _Decoder()
        try:
            yield decoder
        finally:
            _idle.append(decoder)


class _Process(context.ForkServerProcess):
    """Does not import the program's main module, which may hold all of TensorFlow, or no guard."""

    _starting = threading.Lock()

    @classmethod
    def _Popen(cls, process: Any) -> popen_forkserver.Popen:
        with cls._starting:
            whole = spawn.get_preparation_data
            spawn.get_preparation_data = lambda name: {
                key: value for key, value in whole(name).items() if not key.startswith('init_main')
            }
            try:
                return popen_forkserver.Popen(process)
            finally:
                spawn.get_preparation_data = whole


class _Context(context.ForkServerContext):
    Process = _Process


def _new_pool() -> pebble.ProcessPool:
    server = _Context()
    server.set_forkserver_preload([__name__])
    return pebble.ProcessPool(max_workers=1, context=server, initializer=_begin)


# What follows runs in the worker.

_clips: Iterator[Clip | UnusableClip] = iter(())
_limits = ClipLimits()
_own_bytes = 0  # of memory, before the first clip


def _begin() -> None:
    for number in TIMERS.values():
        signal.signal(number, signal.SIG_DFL)  # ends the process, whatever it is doing
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    container.on_progress = _set_timers
    _measure()
    # Native code that crashes writes here; the user reads the UnusableClip instead.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _end_with_parent() -> None:
    """Ends this process when the one that started it has ended."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _measure() -> None:
    global _own_bytes
    with open('/proc/self/statm') as f:
        _own_bytes = int(f.read().split()[5]) * resource.getpagesize()


def _next_clip(*request: Any) -> Clip | UnusableClip:
    """The next clip, of the file that is asked for or else of the last one."""
    global _clips, _limits
    if request:
        path, wanted, spec, _limits = request
        if is_remote(path) and 'tensorflow' not in sys.modules:
            with contextlib.suppress(ValueError):  # decoding says why
                gfile(path)  # by TensorFlow, whose memory is not the clip's
            _measure()
        _clips = decode_wanted(path, wanted, spec)
    with _limited():
        return next(_clips)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Bounds time, CPU time and memory inside the block; sending a clip, outside of it, is free."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = _own_bytes + _limits.memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
    _set_timers()
    try:
        yield
    finally:
        for timer in TIMERS:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _set_timers() -> None:
    signal.setitimer(signal.ITIMER_REAL, _limits.seconds)
    signal.setitimer(signal.ITIMER_PROF, _limits.cpu_seconds)
