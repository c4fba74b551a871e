"""A profile of some steps on request, for TensorBoard's page of that name."""

import tensorflow as tf

from avmae_tf.training.actions import Action, Running, Scalars


class Profile(Action):
    """Records `RunSpec.profile_steps` steps of the second loop: the first is traced and compiled.

    It begins when nothing but steps is left to do, and ends before anything else is.
    """

    def __init__(self, running: Running):
        super().__init__(running)
        self._asked = bool(running.run.profile_steps and running.logs)
        self._due = self._on = False

    def before_steps(self, step: int) -> int:
        steps = super().before_steps(step)
        if not self._due:
            return steps
        self._due, self._on = False, True
        tf.profiler.experimental.start(self.running.logs)
        return min(steps, self.running.run.profile_steps)

    def after_steps(self, step: int, scalars: Scalars) -> None:
        if self._on:
            self._on = False
            tf.profiler.experimental.stop()
            self.running.say(f'profile of the steps up to {step} in {self.running.logs}')
        self._asked, self._due = False, self._asked
