"""What a file may do to its decoder, run by a worker in the place of `decode_wanted`."""

import os
import signal
import sys
from unittest import mock

from beam_jobs import workers
from beam_jobs.media import decode_wanted


def next_clip_by(decode, *request):
    """`workers._next_clip` with another decoder."""
    with mock.patch.object(workers, 'decode_wanted', decode):
        return workers._next_clip(*request)


def crash(path, wanted, spec):
    os.abort()
    yield


def exit_quietly(path, wanted, spec):
    os._exit(3)
    yield


def hang(path, wanted, spec):
    read, _ = os.pipe()
    os.read(read, 1)
    yield


def hang_at_log(path, wanted, spec):
    """As a read that is never answered, of one file among others."""
    yield from (hang if path.endswith('log.mp4') else decode_wanted)(path, wanted, spec)


def spin(path, wanted, spec):
    while True:
        pass
    yield


def take(path, wanted, spec):
    yield len(bytearray(2**31))


def crash_at_two_seconds(path, wanted, spec):
    """As a pass over a file whose damage is in one segment."""
    for segment, outcome in zip(wanted, decode_wanted(path, wanted, spec), strict=True):
        if segment.start_seconds == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        yield outcome


def killed_once(path, wanted, spec):
    """As by the kernel where other programs left no memory, or by somebody."""
    mark = f'{path}.killed'
    if not os.path.exists(mark):
        open(mark, 'w').close()
        os.kill(os.getpid(), signal.SIGKILL)
    yield from decode_wanted(path, wanted, spec)


def modules(path, wanted, spec):
    yield {name.partition('.')[0] for name in sys.modules}


def pid(path, wanted, spec):
    for _ in wanted:
        yield os.getpid()


def peak(path, wanted, spec):
    """What comes of each clip, and the most memory that the process ever held, in MB."""
    for outcome in decode_wanted(path, wanted, spec):
        with open('/proc/self/status') as f:
            peak_kb = next(int(line.split()[1]) for line in f if line.startswith('VmHWM'))
        yield outcome, peak_kb / 1024
