"""CPU time of a subject and of what it is compared with, taken in turns in one process."""

import contextlib
import dataclasses
import glob
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

REPEATS = 7
PRODUCT_SIZE = 4096  # of the square float32 matrices that tell what a machine can do
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


def peak_gib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def alone(module: str, *arguments: str) -> dict[str, float]:
    """What `module`, a program, prints as JSON: in a process of its own, so is its peak memory."""
    command = [sys.executable, '-m', module, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def beside_products(
    function: Callable[[int], object],
    clock: Callable[[], float] = time.perf_counter,
    repeats: int = 5,
) -> tuple[float, float]:
    """Seconds of `function(number)`, and operations a second of matrix products; in turns.

    The number is that of the call, from 0; the first is not counted.
    """
    import tensorflow as tf

    square = tf.random.stateless_normal([PRODUCT_SIZE, PRODUCT_SIZE], [0, 0])

    @tf.function
    def multiply(x):
        return tf.reduce_sum(tf.matmul(x, x))

    def seconds(run):
        started = clock()
        run()
        return clock() - started

    def product():
        return seconds(lambda: multiply(square).numpy())

    function(0), product()
    times, products = [], []
    for number in range(1, repeats + 1):
        products.append(product())
        times.append(seconds(lambda number=number: function(number)))
        products.append(product())
    return statistics.median(times), 2 * PRODUCT_SIZE**3 / statistics.median(products)
