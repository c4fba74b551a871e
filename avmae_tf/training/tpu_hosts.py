"""Hosts of a TPU slice: the first of them trains, and all of them serve their TPU to it.

TensorFlow has one client for a whole slice. Where each host runs the same command, as on
Kubernetes Engine and Vertex AI, this module makes servers of the others. Cloud TPU's own images
(tpu-vm-tf-...-pod) run such servers already, and need nothing of this.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, MutableMapping

from avmae_tf import console
from avmae_tf.training.cluster import TPU_HOSTS, TPU_PORT, TpuSlice, read_slice
from avmae_tf.training.interruption import EXIT_AGAIN

JOB = 'tpu_worker'
LOAD_LIBRARY = 'TPU_LOAD_LIBRARY'  # of libtpu: who loads it has the TPU, and nobody else
HOSTNAME = 'TPU_HOSTNAME_OVERRIDE'
POLL_SECONDS, TRIES, START_MINUTES = 15.0, 4, 30.0


def join(environment: MutableMapping[str, str] = os.environ) -> None:
    """Takes this host's place in its slice, if there is one; before TensorFlow is imported.

    On the first host it starts the server of its TPU, in a process that ends with this one, and
    returns. On the others it serves, and ends the process when the first host is gone.

    Raises:
        ValueError: the environment does not say which host this is.
    """
    hosts = read_slice(environment)
    if not hosts:
        return
    if hosts.index:
        console.say(f'host {hosts.index} of a TPU slice serves {hosts.hosts[0]}, which trains')
        os._exit(serve(hosts, lambda: _answers(hosts.hosts[0])))
    subprocess.Popen(
        [sys.executable, '-m', __name__], env={**environment, HOSTNAME: hosts.hosts[0]},
        stdin=subprocess.PIPE,
    )  # fmt: skip
    environment[LOAD_LIBRARY] = '0'


def serve(hosts: TpuSlice, is_wanted: Callable[[], bool], port: int = TPU_PORT) -> int:
    """Serves this host's TPU as long as it is wanted; returns the exit code."""
    os.environ[HOSTNAME] = hosts.hosts[hosts.index]
    import tensorflow as tf

    definition = tf.train.ServerDef(protocol='grpc', job_name=JOB, task_index=0)
    job = definition.cluster.job.add(name=JOB)
    job.tasks[0] = f'localhost:{port}'
    server = tf.distribute.Server(definition)
    start, was_wanted, tries = time.monotonic(), False, 0
    while tries < TRIES:
        time.sleep(POLL_SECONDS)
        tries = 0 if is_wanted() else tries + 1
        was_wanted = was_wanted or not tries
        if not was_wanted:
            tries = 0
            if time.monotonic() - start > START_MINUTES * 60:
                console.say(f'error: {hosts.hosts[0]} has not begun in {START_MINUTES:g} minutes')
                return EXIT_AGAIN
    del server
    return 0


def _answers(host: str, port: int = TPU_PORT) -> bool:
    try:
        with socket.create_connection((host, port), timeout=POLL_SECONDS):
            return True
    except OSError:
        return False


def main() -> None:
    """The server of the first host, until the process that trains has closed its end of a pipe."""
    parent = threading.Thread(target=sys.stdin.buffer.read, daemon=True)
    parent.start()
    hosts = read_slice(os.environ)
    assert hosts, f'{TPU_HOSTS} lists one host'
    os._exit(serve(hosts, parent.is_alive))


if __name__ == '__main__':
    main()
