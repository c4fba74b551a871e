"""The losses of a finetuning fixture by its head: softmax, multilabel, or two heads in one."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from avmae_tf.interop.fixtures import Fixture
from avmae_tf.losses.classification import joint_probabilities, loss_over_heads

LOSSES = {'softmax': 'softmax', 'multilabel': 'sigmoid', 'twohead': 'softmax'}


class Head(NamedTuple):
    """How logits [B, C] become a loss; `splits` are the sizes of the groups of classes."""

    loss: str
    splits: tuple[int, ...]
    names: tuple[str, ...]
    smoothing: float
    labels: dict
    joint: np.ndarray | None

    @classmethod
    def of(cls, fixture: Fixture) -> 'Head':
        """The head of a finetuning fixture."""
        settings, arrays = fixture.config, fixture.arrays
        smoothed = [n for n in arrays if n.startswith('loss_smoothing')]
        if settings['kind'] == 'vivit_cls':
            labels = {m: arrays['labels'] for m in fixture.by_modality('inputs/')}
            smoothing = float(smoothed[0].removeprefix('loss_smoothing'))
            loss = 'softmax'
        else:
            labels = fixture.by_modality('labels/')
            smoothing = settings['label_smoothing']
            loss = fixture.setting('head', LOSSES)
        return cls(
            loss=loss,
            splits=tuple(settings.get('class_splits') or [settings['num_classes']]),
            names=tuple(smoothed) or ('loss_train',),
            smoothing=smoothing,
            labels=labels,
            joint=arrays.get('joint_labels'),
        )

    @property
    def num_outputs(self) -> int:
        """Classes of all groups together."""
        return sum(self.splits)

    def _mean_loss(self, logits, labels, smoothing: float) -> tf.Tensor:
        """Mean over the batch and the groups of classes."""
        by_head = (dict(enumerate(tf.split(x, self.splits, axis=-1))) for x in (logits, labels))
        return tf.reduce_mean(loss_over_heads(self.loss, *by_head, smoothing))

    def training_loss(self, logits: dict) -> tf.Tensor:
        """Mean over modalities, each with its own labels."""
        losses = [self._mean_loss(x, self.labels[m], self.smoothing) for m, x in logits.items()]
        return tf.add_n(losses) / len(losses)

    def outputs(self, logits: tf.Tensor, loss: tf.Tensor) -> dict:
        """What a fixture holds of the training loss and of the tested logits [B, C]."""
        first = next(iter(self.labels.values()))
        found = dict.fromkeys(self.names, loss)
        found['loss_eval_no_smoothing'] = self._mean_loss(logits, first, 0.0)
        if self.joint is not None:
            joint = joint_probabilities(*tf.split(logits, self.splits, axis=-1))
            hits = tf.argmax(joint, axis=-1) == tf.argmax(self.joint, axis=-1)
            found['joint_probabilities'] = joint
            found['joint_accuracy_per_example'] = tf.cast(hits, tf.int32)
        return found
