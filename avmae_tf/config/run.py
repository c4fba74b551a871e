"""How a run is kept and watched: nothing here changes what is learned."""

from typing import Final, Literal

from avmae_tf.config.base import Count, Positive, Spec

StrategyKind = Literal['tpu', 'slice', 'workers', 'mirrored', 'one']
DeviceKind = Literal['tpu', 'gpu', 'cpu']
TPU: Final = 'tpu'  # of one host
SLICE: Final = 'slice'  # a TPU of several hosts
WORKERS: Final = 'workers'  # several machines with GPUs or CPUs
MIRRORED: Final = 'mirrored'  # several devices of this machine
ONE: Final = 'one'
GPU: Final = 'gpu'
CPU: Final = 'cpu'


class RunSpec(Spec):
    """How often a run logs, saves and evaluates."""

    steps_per_loop: Count = 50  # the host looks after so many: scalars, progress
    checkpoint_every_loops: Count | None = None  # unset: a tenth of the run
    checkpoint_minutes: Positive = 5.0  # also when so many have passed
    test_every_loops: Count = 10
    pictures_every_loops: Count | None = None  # unset: ten times, if they cost no more than 2 %
    pictures: bool = True  # also the projector and the wrong clips; curves are always written
    profile_steps: Count | None = None  # of the second loop, for TensorBoard's profile
    jit_compile: bool = False  # XLA; always on a TPU
    microbatches: Count = 1  # parts of a device's batch, one after the other: less memory
    strategy: StrategyKind | None = None  # unset: what is there decides
    device: DeviceKind | None = None  # insists on it; unset: a TPU, else GPUs, else CPUs
    standstill_minutes: Positive | None = 30.0  # without a step, after which the process ends

    def steps_between_checkpoints(self, num_steps: int) -> int:
        """Steps after which a run of `num_steps` saves, if no minutes come before."""
        tenth = max(1, num_steps // (10 * self.steps_per_loop))
        return self.steps_per_loop * (self.checkpoint_every_loops or tenth)
