"""The benchmarks measure CPU time, whoever spends it, and name what they do not know."""

import importlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from benchmarks import __main__, measure


@pytest.fixture
def clock(monkeypatch):
    """CPU time that moves only when `clock.work` is called."""

    class Clock:
        now = 0.0

        def work(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(measure, 'cpu_seconds', lambda: clock.now)
    monkeypatch.setattr(measure, 'QUIET_SECONDS', 1e-3)
    return clock


def test_the_ratio_is_that_of_the_medians(clock):
    rounds = iter([9.0, 3.0, 1.0, 3.0])  # the first is not counted
    found = measure.compare(
        subject=('uneven', lambda: clock.work(next(rounds))),
        reference=('even', lambda: clock.work(2.0)),
        unit='part', count=1, target=1.4, repeats=3,
    )  # fmt: skip
    assert (found.subject_value, found.reference_value) == (3.0, 2.0)
    assert found.ratio == 1.5 and not found.met


def test_both_take_turns(clock):
    order = []

    def ran(name):
        order.append(name)
        clock.work(1.0)

    measure.compare(
        subject=('a', lambda: ran('a')), reference=('b', lambda: ran('b')),
        unit='part', count=1, target=1.0, repeats=2,
    )  # fmt: skip
    assert order == ['a', 'b'] * 3  # the first round is not counted


BURN = """
import time
while time.process_time() < 0.2:
    pass
print(flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    'start', [(), ('sh', '-c', '"$@"; true', 'sh')], ids=['child', 'grandchild']
)
def test_what_descendants_spend_counts_while_they_live_and_when_they_are_dead(start):
    before = measure.cpu_seconds()
    command = [*start, sys.executable, '-S', '-c', BURN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        process.stdout.readline()
        assert measure.cpu_seconds() - before > 0.19
        os.killpg(process.pid, signal.SIGKILL)
    if not start:  # of a grandchild, the shell that would have counted it is dead, too
        assert measure.cpu_seconds() - before > 0.19


def test_what_a_thread_does_afterwards_counts(clock):
    later = threading.Timer(2e-4, lambda: clock.work(1.0))
    assert measure.cost(later.start, 4) == pytest.approx(0.25)


def test_an_unknown_benchmark_is_named_with_those_that_exist():
    done = subprocess.run(
        [sys.executable, '-m', 'benchmarks', 'nothing'], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"must be one of {__main__.names()}, got ['nothing']" in done.stderr


@pytest.mark.parametrize('name', __main__.names())
def test_every_benchmark_goes_with_the_code_it_measures(name):
    assert callable(importlib.import_module(f'benchmarks.{name}').compare_all)
