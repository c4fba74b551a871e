"""Which machines train together: what engines say of it in the environment. Needs no TensorFlow.

TF_CONFIG lists the workers of a job on GPUs or CPUs, as Vertex AI and Kubeflow's training operator
set it. TPU_WORKER_HOSTNAMES lists the hosts of a TPU slice, as Kubernetes Engine sets it.
"""

import dataclasses
import json
from collections.abc import Mapping

DEVICE = 'AVMAE_DEVICE'  # insists on a kind of device, where no setting does
TF_CONFIG = 'TF_CONFIG'
TPU_HOSTS, TPU_HOST_ID = 'TPU_WORKER_HOSTNAMES', 'TPU_WORKER_ID'
TPU_PORT = 8470
CHIEF, WORKER = 'chief', 'worker'
_NAMES = {CHIEF: CHIEF, 'master': CHIEF, WORKER: WORKER}  # TensorFlow 1 said master
_WITHOUT_WORK = ('evaluator', 'ps')  # held-out clips are tested on all workers, between steps


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a job by their addresses, the chief first, and which one this process is."""

    chiefs: tuple[str, ...]  # one, or none: then the first worker is the chief
    workers: tuple[str, ...]
    kind: str
    index: int

    @property
    def count(self) -> int:
        return len(self.chiefs) + len(self.workers)

    @property
    def place(self) -> int:
        """Of this process among all of them; the chief's is 0."""
        return self.index + (len(self.chiefs) if self.kind == WORKER else 0)

    @property
    def jobs(self) -> dict[str, list[str]]:
        """As TensorFlow's ClusterSpec takes it."""
        jobs = {CHIEF: list(self.chiefs), WORKER: list(self.workers)}
        return {kind: addresses for kind, addresses in jobs.items() if addresses}


def read_cluster(environment: Mapping[str, str]) -> Cluster | None:
    """The job that this process is a worker of; None where it works alone.

    Raises:
        ValueError: TF_CONFIG cannot be read, or gives this process nothing to do.
    """
    text = environment.get(TF_CONFIG, '')
    if not text.strip():
        return None
    try:
        config = json.loads(text)
        jobs = {kind: tuple(map(str, a)) for kind, a in config.get('cluster', {}).items() if a}
        task = config.get('task', {})
        kind, index = str(task.get('type', WORKER)), int(task.get('index', 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{TF_CONFIG}: {error}; got {text:.100}') from None
    if kind in _WITHOUT_WORK:
        raise ValueError(
            f'{TF_CONFIG}: {kind} {index} has nothing to do: workers test as they train, and keep '
            'all parameters; leave its pool out'
        )
    known = {_NAMES[k]: addresses for k, addresses in jobs.items() if k in _NAMES}
    if unknown := set(jobs) - set(_NAMES) - set(_WITHOUT_WORK):
        raise ValueError(
            f'{TF_CONFIG}: knows {sorted(unknown)}; there may be {[*_NAMES, *_WITHOUT_WORK]}'
        )
    if len(known.get(CHIEF, ())) > 1:
        raise ValueError(f'{TF_CONFIG}: there may be one chief, got {known[CHIEF]}')
    own = _NAMES.get(kind, kind)
    if sum(map(len, known.values())) < 2:
        return None
    if index not in range(len(known.get(own, ()))):
        raise ValueError(f'{TF_CONFIG}: its task, {kind} {index}, is not in its cluster')
    return Cluster(known.get(CHIEF, ()), known.get(WORKER, ()), own, index)


@dataclasses.dataclass(frozen=True)
class TpuSlice:
    """The hosts of a TPU slice, and which one this is."""

    hosts: tuple[str, ...]
    index: int

    @property
    def addresses(self) -> str:
        """As TPUClusterResolver takes them."""
        return ','.join(f'grpc://{host}:{TPU_PORT}' for host in self.hosts)


def read_slice(environment: Mapping[str, str]) -> TpuSlice | None:
    """The slice of several hosts that this one belongs to; None where there is none.

    Raises:
        ValueError: it is not said which one this is.
    """
    hosts = tuple(filter(None, environment.get(TPU_HOSTS, '').split(',')))
    if len(hosts) < 2:
        return None
    text = environment.get(TPU_HOST_ID, '')
    if not (text.isdecimal() and int(text) < len(hosts)):
        raise ValueError(
            f'{TPU_HOST_ID}: must be a number below {len(hosts)}, the hosts that {TPU_HOSTS} '
            f'lists, got {text!r}'
        )
    return TpuSlice(hosts, int(text))
