"""How a run is kept and watched: nothing here changes what is learned."""

from avmae_tf.config.base import Count, Positive, Spec


class RunSpec(Spec):
    """How often a run logs, saves and evaluates."""

    steps_per_loop: Count = 50  # the host looks after so many: scalars, progress
    checkpoint_every_loops: Count | None = None  # unset: a tenth of the run
    checkpoint_minutes: Positive = 5.0  # also when so many have passed
    test_every_loops: Count = 10
    pictures_every_loops: Count | None = None  # unset: ten times, if they cost no more than 2 %
    profile_steps: Count | None = None  # of the second loop, for TensorBoard's profile
    jit_compile: bool = False  # XLA; always on a TPU
    microbatches: Count = 1  # parts of a device's batch, one after the other: less memory

    def steps_between_checkpoints(self, num_steps: int) -> int:
        """Steps after which a run of `num_steps` saves, if no minutes come before."""
        tenth = max(1, num_steps // (10 * self.steps_per_loop))
        return self.steps_per_loop * (self.checkpoint_every_loops or tenth)
