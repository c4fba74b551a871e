"""Which distribution strategy fits what is there. Needs no TensorFlow.

Whoever insists on a strategy or a kind of device is refused where it is not there, and so is a TPU
host that would train on its CPUs.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from avmae_tf.config.run import (
    CPU,
    GPU,
    MIRRORED,
    ONE,
    SLICE,
    TPU,
    WORKERS,
    DeviceKind,
    StrategyKind,
)
from avmae_tf.training.cluster import TF_CONFIG, TPU_HOSTS, Cluster, read_cluster, read_slice

TPU_NAME = 'TPU_NAME'  # of Cloud TPU, or grpc://HOST:PORT of its hosts
LOCAL = 'local'
_TPU_SIGNS = ('TPU_ACCELERATOR_TYPE', 'TPU_WORKER_ID')  # of environments of TPU hosts
_NVIDIA_DRIVER = Path('/proc/driver/nvidia/version')


@dataclasses.dataclass(frozen=True)
class Found:
    """Devices that TensorFlow sees, and signs of some that it should see."""

    tpus: int = 0
    gpus: int = 0
    cpus: int = 1
    has_tpu_chips: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """A strategy that has been chosen, and what it runs on."""

    kind: StrategyKind
    devices: tuple[str, ...] = ()  # of this process
    tpu: str = ''  # LOCAL, a name, or addresses
    cluster: Cluster | None = None


def choose(
    environment: Mapping[str, str],
    found: Found,
    *,
    strategy: StrategyKind | None = None,
    device: DeviceKind | None = None,
) -> Plan:
    """The strategy for what is there: a TPU, else GPUs, else CPUs; of all workers, if several.

    Args:
        environment: What engines say there: TF_CONFIG, TPU_NAME, TPU_WORKER_HOSTNAMES.
        found: Devices of this machine.
        strategy: Insists on one.
        device: Insists on a kind of device.

    Raises:
        ValueError: what is insisted on is not there, or a TPU host would train on its CPUs.
    """
    tpu = _tpu_of(environment, found)
    if strategy in (TPU, SLICE):
        if device not in (None, TPU):
            raise ValueError(f'strategy: {strategy!r} runs on a TPU, got device={device!r}')
        device = TPU
    signs = found.has_tpu_chips or any(environment.get(name) for name in _TPU_SIGNS)
    if not tpu and (device == TPU or (device is None and signs)):
        raise ValueError(
            f'device: {"this is a TPU host, and" if signs else "a TPU is asked for, and"} '
            'TensorFlow sees no TPU: it is not the TensorFlow that is built for TPUs, or another '
            'process holds it; see docs/hosts.md, or train on CPUs by '
            f'`--device {CPU}`'
        )
    if device == GPU and not found.gpus:
        driver = 'a driver is there' if _NVIDIA_DRIVER.exists() else 'nor is there a driver'
        raise ValueError(
            f'device: a GPU is asked for, and TensorFlow sees none ({driver}); install '
            "'avmae-tf[gpu]', and look what `nvidia-smi` says"
        )
    device = device or (TPU if tpu else GPU if found.gpus else CPU)
    if device == TPU:
        return _tpu_plan(tpu, strategy)
    number = {GPU: found.gpus, CPU: found.cpus}[device]
    devices = tuple(f'{device.upper()}:{i}' for i in range(number))
    cluster = read_cluster(environment)
    if strategy == WORKERS and not cluster:
        raise ValueError(
            f'strategy: {WORKERS!r} needs {TF_CONFIG} with two workers or more, got '
            f'{environment.get(TF_CONFIG) or "none"}'
        )
    if cluster:
        if strategy in (MIRRORED, ONE):
            raise ValueError(
                f'strategy: {strategy!r} would have each of the {cluster.count} workers of '
                f'{TF_CONFIG} train alone, in one folder; leave it out, or unset {TF_CONFIG}'
            )
        return Plan(WORKERS, devices if device == GPU else devices[:1], cluster=cluster)
    kind: StrategyKind = strategy or (MIRRORED if number > 1 else ONE)
    return Plan(kind, devices if kind == MIRRORED else devices[:1])


def _tpu_of(environment: Mapping[str, str], found: Found) -> str:
    """Which TPU there is: '' if none."""
    if hosts := read_slice(environment):
        return hosts.addresses
    if found.tpus:
        return LOCAL
    name = environment.get(TPU_NAME, '')
    return '' if name == LOCAL else name


def _tpu_plan(tpu: str, strategy: StrategyKind | None) -> Plan:
    kind: StrategyKind = TPU if tpu == LOCAL else SLICE
    if strategy not in (None, kind):
        raise ValueError(
            f'strategy: {strategy!r} does not run on the TPU {tpu}; give {kind!r}, or another '
            f'device, too. A slice of several hosts has {TPU_HOSTS} or {TPU_NAME}'
        )
    return Plan(kind, tpu=tpu)
