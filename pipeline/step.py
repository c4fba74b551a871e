"""What a container of Kubeflow or Vertex AI runs: one component, by TFX's own entry point.

It adds what engines do not have alike: a limit of time, a notice of a failure, and an ending that
says in one line what was wrong. Where several machines run the same task, one of them leaves its
results.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
from typing import NoReturn

from avmae_tf import console
from avmae_tf.training import tpu_hosts
from avmae_tf.training.cluster import read_cluster
from avmae_tf.training.interruption import EXIT_AGAIN
from components.outcome.notice import send_notice

EXIT_FAILED, EXIT_TIME_LIMIT = 1, 124
INVOCATION = '--json_serialized_invocation_args'
GCP_RESOURCES = 'gcp_resources'  # of the launcher of a CustomJob, for which TFX has no artifact


def main(argv: list[str] | None = None) -> NoReturn:
    """Runs the component that the arguments name, and ends the process."""
    console.quick()
    parser = argparse.ArgumentParser(prog='python -m pipeline.step', description=__doc__)
    parser.add_argument('--node', required=True, help='name of the component')
    parser.add_argument('--hours', type=float, help='after these it fails')
    parser.add_argument('--notify', help='address that gets a notice of a failure, as JSON')
    own, rest = parser.parse_known_args(argv)
    what = f'{own.node} of {run_of(rest)}'

    def fail(text: str, code: int) -> NoReturn:
        console.say(f'{what} failed: {text}')
        send_notice(own.notify, f'{what} failed: {text}')
        leave(code)

    if own.hours:
        text = f'its limit of {own.hours:g} hours has passed; set hours, or retries to go on'
        watch = threading.Timer(own.hours * 3600, fail, (text, EXIT_TIME_LIMIT))
        watch.daemon = True
        watch.start()
    try:
        _run(rest)
    except Exception as error:
        import traceback

        from avmae_tf.cli.failures import explain

        traceback.print_exc()
        text, code = explain(error)
        if code == EXIT_AGAIN:  # the engine does
            console.say(f'{what}: {text}')
            leave(code)
        fail(text, EXIT_FAILED)
    leave(0)


def _run(argv: list[str]) -> None:
    tpu_hosts.join()
    cluster = read_cluster(os.environ)
    if cluster and cluster.place:
        argv = elsewhere(argv, tempfile.mkdtemp(prefix='avmae-worker-'))
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as executor

    from avmae_tf.storage import know_addresses
    from avmae_tf.training import devices

    devices.configure_cpu_devices()
    know_addresses(' '.join(argv))  # TFX itself reads and writes where artifacts are
    executor.main(executor._parse_flags(_known(argv)))


def run_of(argv: list[str]) -> str:
    """Id of the run, from where its outputs go: engines put them below <run>/<task>/."""
    output = json.loads(argv[argv.index(INVOCATION) + 1])['outputs']['outputFile']
    return os.path.basename(os.path.dirname(os.path.dirname(output)))


def _known(argv: list[str]) -> list[str]:
    """The arguments without an output that only the launcher of a CustomJob writes."""
    at = argv.index(INVOCATION) + 1
    invocation = json.loads(argv[at])
    invocation.get('outputs', {}).get('parameters', {}).pop(GCP_RESOURCES, None)
    return [*argv[:at], json.dumps(invocation), *argv[at + 1 :]]


def elsewhere(argv: list[str], folder: str) -> list[str]:
    """The arguments with all outputs in `folder`: a worker that is not the chief leaves nothing."""
    at = argv.index(INVOCATION) + 1
    invocation = json.loads(argv[at])
    outputs = invocation['outputs']
    outputs['outputFile'] = os.path.join(folder, os.path.basename(outputs['outputFile']))
    for name, parameter in outputs.get('parameters', {}).items():
        parameter['outputFile'] = os.path.join(folder, name, 'parameter')
    for name, found in outputs.get('artifacts', {}).items():
        for artifact in found['artifacts']:
            artifact['uri'] = os.path.join(folder, name)
    return [*argv[:at], json.dumps(invocation), *argv[at + 1 :]]


def leave(code: int) -> NoReturn:
    """Ends the process at once: clients of buckets may abort while an interpreter shuts down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == '__main__':
    main()
