"""CPU time of a subject and of what it is compared with, taken in turns in one process."""

import contextlib
import dataclasses
import glob
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator

REPEATS = 7
QUIET_SECONDS = 0.25  # a process that has used next to nothing for so long has settled


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Medians of a subject and its reference, and the largest ratio of the two that is good."""

    subject: str
    reference: str
    unit: str  # what one of them is
    subject_value: float
    reference_value: float
    target: float
    quantity: str = 'CPU ms'
    scale: float = 1000.0  # from seconds to the quantity that is printed

    @property
    def ratio(self) -> float:
        return self.subject_value / self.reference_value

    @property
    def met(self) -> bool:
        return self.ratio <= self.target


def cpu_seconds() -> float:
    """User and system time of this process and its descendants, dead or alive."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return own + sum(_descendants_seconds())


def _descendants_seconds() -> Iterator[float]:
    """Of those alive, to a hundredth of a second, and of the children that each waited for."""
    fields = {}
    for path in glob.glob('/proc/[0-9]*/stat'):
        with contextlib.suppress(OSError), open(path) as f:
            pid, _, rest = f.read().partition(' (')
            fields[int(pid)] = rest.rpartition(') ')[2].split()
    family = {os.getpid()}
    for pid in sorted(fields):  # children are younger, and numbered after their parents
        if int(fields[pid][1]) in family:
            family.add(pid)
            yield sum(map(int, fields[pid][11:15])) / os.sysconf('SC_CLK_TCK')


def settle():
    """Returns when the threads of the process have come to rest, their buffers full."""
    before, now = -1.0, cpu_seconds()
    while now - before > 0.05 * QUIET_SECONDS:
        time.sleep(QUIET_SECONDS)
        before, now = now, cpu_seconds()


def cost(run: Callable[[], None], count: int) -> float:
    """CPU-seconds of one of the `count` units that a call of `run` handles.

    What background threads do ahead is counted: they are at rest before and after.
    """
    settle()
    before = cpu_seconds()
    run()
    settle()
    return (cpu_seconds() - before) / count


def compare(
    *,
    subject: tuple[str, Callable[[], None]],
    reference: tuple[str, Callable[[], None]],
    unit: str,
    count: int,
    target: float,
    repeats: int = REPEATS,
) -> Comparison:
    """Both in turns, `repeats` times after one round that is not counted."""
    rounds = [(cost(subject[1], count), cost(reference[1], count)) for _ in range(repeats + 1)][1:]
    medians = map(statistics.median, zip(*rounds, strict=True))
    return Comparison(subject[0], reference[0], unit, *medians, target)
