"""Chooses the distribution strategy of a run for the devices that are there."""

import os

import tensorflow as tf

CPU_DEVICES = 'AVMAE_CPU_DEVICES'  # environment variable: how many logical CPU devices to make


def configure_cpu_devices() -> None:
    """Makes the logical CPU devices that AVMAE_CPU_DEVICES asks for; call before anything else."""
    count = int(os.environ.get(CPU_DEVICES, '1'))
    if count > 1:
        cpu = tf.config.list_physical_devices('CPU')[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )


def choose_strategy(*, tpus: int, gpus: list[str], cpus: list[str]) -> tf.distribute.Strategy:
    """The strategy for these devices: TPU, several GPUs, one GPU, several CPU devices, or one."""
    if tpus:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu='local')
        return tf.distribute.TPUStrategy(resolver)
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy(gpus)
    if gpus:
        return tf.distribute.OneDeviceStrategy(gpus[0])
    if len(cpus) > 1:
        # The default reduction cannot be made a second time in one process.
        reduction = tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(cpus, cross_device_ops=reduction)
    return tf.distribute.OneDeviceStrategy(cpus[0])


def default_strategy() -> tf.distribute.Strategy:
    """The strategy for the devices of this machine."""

    def names(kind):
        return [device.name for device in tf.config.list_logical_devices(kind)]

    tpus = len(tf.config.list_physical_devices('TPU'))
    return choose_strategy(tpus=tpus, gpus=names('GPU'), cpus=names('CPU'))


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy runs on a TPU."""
    return isinstance(strategy, tf.distribute.TPUStrategy)
