"""How fast a run goes, what it waits for, and how much of the device it uses."""

import os
import time
from pathlib import Path

import tensorflow as tf

from avmae_tf.config import PretrainConfig
from avmae_tf.models.cost import finetuning_flops, pretraining_flops
from avmae_tf.training.actions import Action, Running, Scalars
from avmae_tf.training.monitoring.tags import write_scalar
from avmae_tf.training.summary import STEP_IN_PASSES
from avmae_tf.training.tasks import Task

GIB = 2**30
_STATM = Path('/proc/self/statm')  # pages of this process; its second number are those in memory
_SIDES = {'CPU': 1024, 'GPU': 8192}  # of the matrices whose product is timed, by kind of device
_REPEATS = 5


def step_flops(task: Task) -> int:
    """Floating-point operations of a step of training on all its clips (`models.cost`)."""
    config = task.config
    if isinstance(config, PretrainConfig):
        parts = pretraining_flops(config)
    else:
        parts = finetuning_flops(config, sum(map(len, task.dataset.heads.values())))
    return STEP_IN_PASSES * config.schedule.batch_size * sum(parts.values())


def matrix_rate(device: str, dtype: tf.DType) -> float:
    """FLOPs a second of a large matrix product on `device`, the best of a few; 0 if unknown."""
    side = _SIDES.get(tf.DeviceSpec.from_string(device).device_type)
    if side is None:
        return 0.0
    best = 0.0
    with tf.device(device):
        matrix = tf.ones([side, side], dtype)
        for _ in range(_REPEATS):
            began = time.perf_counter()
            tf.matmul(matrix, matrix)[0, 0].numpy()  # a value: the host waits for it
            best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best


def memory() -> dict[str, float]:
    """GiB in use now by name: of this process, and of GPUs the most so far."""
    found = {}
    if _STATM.exists():
        pages = int(_STATM.read_text().split()[1])
        found['memory/process_gib'] = pages * os.sysconf('SC_PAGE_SIZE') / GIB
    for i, _ in enumerate(tf.config.list_logical_devices('GPU')):
        peak = tf.config.experimental.get_memory_info(f'GPU:{i}')['peak']
        found[f'memory/gpu_{i}_peak_gib'] = peak / GIB
    return found


class Speed(Action):
    """Scalars of every look but the first, whose loop was traced and compiled in its time."""

    def __init__(self, running: Running):
        super().__init__(running)
        self._rate: float | None = None
        self._before: int | None = None

    def after_steps(self, step: int, scalars: Scalars) -> None:
        before, self._before = self._before, step
        if not self.running.logs:
            return
        if before is None:
            self._rate = self._measured_rate()
            return
        with self.running.train_summaries.summary_writer().as_default():
            for name, value in {**self._speed(step - before), **memory()}.items():
                write_scalar(name, value, step)

    def _speed(self, steps: int) -> dict[str, float]:
        trainer = self.running.trainer
        clock, replicas = trainer.clock, trainer.num_replicas
        clips = steps * trainer.task.config.schedule.batch_size / clock.seconds
        found = {
            'speed/clips_per_second': clips,
            'speed/clips_per_second_and_core': clips / replicas,
            'speed/share_of_time_waiting_for_data': clock.waited / clock.seconds,
        }
        if self._rate:
            flops = step_flops(trainer.task) * steps / clock.seconds
            found['speed/share_of_matrix_product_rate'] = flops / self._rate
        return found

    def _measured_rate(self) -> float:
        """Of all devices together; logical devices of one processor share what it has."""
        trainer = self.running.trainer
        devices = trainer.strategy.extended.worker_devices
        half = trainer.task.config.precision != 'float32'
        rate = matrix_rate(devices[0], tf.bfloat16 if half else tf.float32)
        on_cpu = tf.DeviceSpec.from_string(devices[0]).device_type == 'CPU'
        return rate * (1 if on_cpu else trainer.num_replicas)
