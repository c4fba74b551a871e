"""Every host of a TPU slice serves its TPU; the first one trains, and the others end with it."""

import socket
import subprocess

import pytest

from avmae_tf.training import tpu_hosts
from avmae_tf.training.cluster import TpuSlice

SLICE = {'TPU_WORKER_HOSTNAMES': 'h0,h1', 'TPU_WORKER_ID': '0'}


def test_one_host_has_nothing_to_join():
    environment = {'TPU_WORKER_HOSTNAMES': 'localhost'}
    tpu_hosts.join(environment)
    assert environment == {'TPU_WORKER_HOSTNAMES': 'localhost'}


def test_the_first_host_leaves_its_tpu_to_a_server_and_trains(monkeypatch):
    started, environment = [], dict(SLICE)
    monkeypatch.setattr(subprocess, 'Popen', lambda command, **how: started.append((command, how)))
    tpu_hosts.join(environment)
    ((command, how),) = started
    assert command[1:] == ['-m', 'avmae_tf.training.tpu_hosts'] and how['stdin'] == subprocess.PIPE
    assert how['env']['TPU_HOSTNAME_OVERRIDE'] == 'h0'
    assert 'TPU_LOAD_LIBRARY' not in how['env'] and environment['TPU_LOAD_LIBRARY'] == '0'


def test_another_host_serves_and_ends(monkeypatch):
    class Left(Exception):
        pass

    def leave(code):
        raise Left(code)

    monkeypatch.setattr(tpu_hosts, 'serve', lambda hosts, wanted: hosts.index)
    monkeypatch.setattr(tpu_hosts.os, '_exit', leave)
    with pytest.raises(Left, match='1'):
        tpu_hosts.join({**SLICE, 'TPU_WORKER_ID': '1'})


@pytest.mark.parametrize(
    ('wanted', 'minutes', 'code'),
    [([False, True, True, False, True], 1.0, 0), ([], 0.0, tpu_hosts.EXIT_AGAIN)],
)
def test_a_server_ends_when_it_is_wanted_no_more(monkeypatch, wanted, minutes, code):
    monkeypatch.setattr(tpu_hosts, 'POLL_SECONDS', 0.01)
    monkeypatch.setattr(tpu_hosts, 'START_MINUTES', minutes)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    answers, reached = iter(wanted), []

    def is_wanted():
        reached.append(tpu_hosts._answers('127.0.0.1', port))
        return next(answers, False)

    assert tpu_hosts.serve(TpuSlice(('h0', 'h1'), 1), is_wanted, port) == code
    assert all(reached) and len(reached) >= len(wanted)  # others can connect to it
