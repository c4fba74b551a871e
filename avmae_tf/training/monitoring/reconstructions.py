"""Reconstructions of the same held-out clips over time (Figure 5 of the paper)."""

import functools

import tensorflow as tf

from avmae_tf.training import visuals
from avmae_tf.training.actions import Scalars
from avmae_tf.training.monitoring.occasional import Occasional

NUM_CLIPS = 4


class Reconstructions(Occasional):
    """Pictures, where the task has them."""

    @functools.cached_property
    def _clips(self) -> dict[str, tf.Tensor]:
        return self.running.trainer.first_clips(NUM_CLIPS)

    def after_steps(self, step: int, scalars: Scalars) -> None:
        trainer = self.running.trainer
        if trainer.task.has_pictures and self.is_due(step):
            with self.doing(step), self.running.train_summaries.summary_writer().as_default():
                outcome = trainer.reconstruct(self._clips)
                visuals.summarise(outcome, self._clips, trainer.task.config, step)
