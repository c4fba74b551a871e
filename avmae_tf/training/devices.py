"""The distribution strategy of a run: chosen for the machines and devices that are there."""

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import tensorflow as tf

from avmae_tf import console
from avmae_tf.config.run import CPU, GPU, ONE, SLICE, TPU, DeviceKind, StrategyKind
from avmae_tf.training.cluster import DEVICE
from avmae_tf.training.plan import Found, Plan, choose

CPU_DEVICES = 'AVMAE_CPU_DEVICES'  # environment variable: how many logical CPU devices to make
_PCI = Path('/sys/bus/pci/devices')
_GOOGLE, _TPU_CHIPS = '0x1ae0', ('0x0027', '0x005e', '0x0062', '0x0063', '0x006f')  # v2 to v6e


def configure_cpu_devices() -> None:
    """Makes the logical CPU devices that AVMAE_CPU_DEVICES asks for; call before anything else."""
    count = int(os.environ.get(CPU_DEVICES, '1'))
    if count > 1:
        cpu = tf.config.list_physical_devices(CPU.upper())[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )


def find(pci: Path = _PCI) -> Found:
    """What there is on this machine; the devices are not touched, which workers may not do yet."""
    cpu, *_ = tf.config.list_physical_devices(CPU.upper())
    return Found(
        tpus=len(tf.config.list_physical_devices(TPU.upper())),
        gpus=len(tf.config.list_physical_devices(GPU.upper())),
        cpus=len(tf.config.get_logical_device_configuration(cpu) or [cpu]),
        has_tpu_chips=any(
            path.read_text().strip() == _GOOGLE
            and path.with_name('device').read_text().strip() in _TPU_CHIPS
            for path in pci.glob('*/vendor')
        ),
    )


@functools.cache
def make(plan: Plan) -> tf.distribute.Strategy:
    """The strategy of a plan; of each there is one in a process."""
    if plan.kind in (TPU, SLICE):
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu=plan.tpu)
        except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
            raise console.Failed(
                f'device: the TPU {plan.tpu} cannot be reached ({str(error).strip()}); look '
                f'whether its hosts are up, or train on CPUs by `--device {CPU}`'
            ) from error
        return tf.distribute.TPUStrategy(resolver)
    on_cpu = plan.devices[0].startswith(CPU.upper())
    if on_cpu:
        with contextlib.suppress(RuntimeError):  # they are in use already
            tf.config.set_visible_devices([], GPU.upper())
    if cluster := plan.cluster:
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(cluster.jobs),
            task_type=cluster.kind,
            task_id=cluster.index,
            num_accelerators={} if on_cpu else {GPU.upper(): len(plan.devices)},
            rpc_layer='grpc',
        )
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        # Batches are whole, and as many everywhere: no need to ask the others before each.
        strategy.extended.experimental_enable_get_next_as_optional = False
        return strategy
    if plan.kind == ONE:
        return tf.distribute.OneDeviceStrategy(plan.devices[0])
    # The default reduction on CPUs cannot be made a second time in one process.
    reduction = tf.distribute.ReductionToOneDevice() if on_cpu else None
    return tf.distribute.MirroredStrategy(list(plan.devices), cross_device_ops=reduction)


def default_strategy(
    strategy: StrategyKind | None = None, device: DeviceKind | None = None
) -> tf.distribute.Strategy:
    """The strategy for what is there; workers must ask for it before they use TensorFlow.

    AVMAE_DEVICE insists on a device where `device` does not.

    Raises:
        ValueError: what is insisted on is not there, or a TPU host would train on its CPUs.
        Failed: a TPU cannot be reached.
    """
    wanted = device or os.environ.get(DEVICE) or None
    if wanted not in (None, *get_args(DeviceKind)):
        raise ValueError(f'{DEVICE}: must be one of {get_args(DeviceKind)}, got {wanted!r}')
    return make(choose(os.environ, find(), strategy=strategy, device=wanted))


def describe(strategy: tf.distribute.Strategy) -> str:
    """A strategy and what it runs on, for the log."""
    number = strategy.num_replicas_in_sync
    if is_tpu(strategy):
        what = f'{number} TPU cores of {strategy.extended.num_hosts} hosts'
    else:
        devices = [d.rpartition('device:')[2] for d in strategy.extended.worker_devices]
        what = ', '.join(devices)
        if (workers := number // len(devices)) > 1:
            cluster = strategy.cluster_resolver
            place = f'{cluster.task_type} {cluster.task_id}'
            what += f' of each of {workers} workers, of which this is {place}'
            what += ', the chief' if is_chief(strategy) else ''
    return f'{type(strategy).__name__} on {what}'


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy runs on a TPU."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes what is written once."""
    return strategy.extended.should_checkpoint


def agreement(strategy: tf.distribute.Strategy) -> Callable[[Sequence[float]], list[float]]:
    """A function that all workers call alike, and get the mean of what they have given."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return list

    def mean(values):
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(values))

    on_all = tf.function(lambda x: strategy.run(mean, args=(x,)), autograph=False)

    def agree(values: Sequence[float]) -> list[float]:
        means = on_all(tf.constant(values, tf.float32))
        return strategy.experimental_local_results(means)[0].numpy().tolist()

    return agree
