"""What one replica computes in a step of pretraining and of finetuning.

Shapes: B clips, V views, C classes.
"""

import abc
from typing import Any

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import AUDIO, FinetuneConfig, PretrainConfig, TrainingConfig, heads, splits
from avmae_tf.data.augment import mixup
from avmae_tf.data.dataset import Dataset
from avmae_tf.data.labelled import check_one_label, count_labels, head_sizes, say_left_out
from avmae_tf.losses.classification import hits, loss_over_heads
from avmae_tf.losses.contrastive import ContrastiveLoss
from avmae_tf.losses.reconstruction import ReconstructionLoss
from avmae_tf.models.avmae import AVMAE, Reconstruction
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.classifier import Classifier, mean_logits, view_averaged_logits
from avmae_tf.models.draws import Seed, fold_in, of_batch
from avmae_tf.models.patches import to_values
from avmae_tf.training.answers import KEPT, LOGITS
from avmae_tf.training.optimizers import layerwise_multipliers

LOSS_CONTRASTIVE = 'loss_contrastive'  # a scalar's name; beside it those of the modalities

Scalars = dict[str, tf.Tensor]
Batch = dict[str, tf.Tensor]


class Task(abc.ABC):
    """What is trained, as one replica sees it; the trainer asks for nothing else."""

    name: str
    labelled: bool  # whether clips without a label are left out, of training and of tests
    has_pictures: bool  # whether there are pictures of reconstructions, as in Fig. 5
    gathers: bool = False  # whether a replica's loss depends on the clips of the others
    num_eval_views: int = 1
    num_eval_crops: int = 1
    train_names: tuple[str, ...]  # of the scalars of `train_loss`
    eval_names: tuple[str, ...]  # of those of `eval_scalars` whose mean is logged
    kept: tuple[str, ...] = ()  # of a test's batches and of `eval_scalars`: what is kept by clip

    def __init__(self, config: TrainingConfig, dataset: Dataset):
        self.config = config
        self.dataset = dataset

    def prepare(self, folder: str) -> str:
        """Looks at the records in `folder` before training; returns what is to be said of them.

        Raises:
            ValueError: they cannot be trained on.
        """
        return ''

    @abc.abstractmethod
    def build(self) -> keras.layers.Layer:
        """A new model with all its variables."""

    def trainables(self, model: keras.layers.Layer) -> list[tf.Variable]:
        """The variables that are trained."""
        return model.trainable_variables

    @abc.abstractmethod
    def train_loss(self, model: Any, batch: Batch, seed: Seed) -> tuple[tf.Tensor, Scalars]:
        """What is minimised, a scalar, and the scalars that are logged: means over clips."""

    def rate_factors(self, model: Any) -> list[float]:
        """Factors on the learning rates of `trainables`."""
        return [1.0] * len(self.trainables(model))

    def check_microbatches(self, size: int, count: int) -> None:
        """Raises ValueError where the `size` clips of a replica cannot be taken in `count` parts.

        Each part must learn from its clips what they would teach among all.
        """
        if size % count:
            raise ValueError(
                f'run.microbatches must divide the {size} clips of a device in a batch, got {count}'
            )
        if count > 1 and self.gathers:
            raise ValueError(
                'run.microbatches must be 1 for a loss that compares all clips of a batch with '
                f'each other, as the contrastive one does, got {count}'
            )

    def eval_metrics(self) -> dict[str, keras.metrics.Metric]:
        """What adds up `eval_scalars` over clips of 'weight' 1, by name: their means."""
        return {name: keras.metrics.Mean(name) for name in self.eval_names}

    @abc.abstractmethod
    def eval_scalars(self, model: Any, batch: Batch) -> Scalars:
        """Figures of each clip [B, ...], for `eval_metrics`; of the `kept` ones each."""


class PretrainTask(Task):
    """Masked reconstruction of unlabelled clips (Sec. 3.4)."""

    name = 'pretrain'
    labelled = False
    has_pictures = True

    def __init__(self, config: PretrainConfig, dataset: Dataset):
        super().__init__(config, dataset)
        self.losses = ReconstructionLoss(config)
        names = ('loss', *(f'loss_{m}' for m in config.reconstructed))
        contrast = config.objective.contrast
        self.contrast = ContrastiveLoss(contrast) if contrast else None
        self.gathers = bool(contrast)
        self.train_names = (*names, *([LOSS_CONTRASTIVE] if contrast else []))
        self.eval_names = self.train_names

    def build(self) -> AVMAE:
        return build_avmae(self.config)

    def reconstruct(self, model: AVMAE, inputs: Batch, seed: Seed) -> Reconstruction:
        """The model's reconstruction under masks drawn from `seed`."""
        inputs = {m: inputs[m] for m in self.config.modalities}
        batch = inputs[self.config.modalities[0]].shape[0]
        return model(inputs, model.sample_masks(seed, batch))

    def train_loss(self, model: AVMAE, batch: Batch, seed: Seed) -> tuple[tf.Tensor, Scalars]:
        outcome = self.reconstruct(model, batch, seed)
        scalars = self.losses.scalars(self.losses.by_modality(outcome))
        if self.contrast:
            weight = tf.ones([batch[AUDIO].shape[0]])
            term = tf.reduce_mean(self.contrast.by_clip(outcome.pooled, batch, weight))
            scalars |= self._with_contrast(scalars, term)
        return scalars['loss'], scalars

    def _with_contrast(self, scalars: Scalars, term: tf.Tensor) -> Scalars:
        """The loss and the term that is added to it, each a scalar or [B]."""
        weight = self.config.objective.contrast.weight
        return {'loss': scalars['loss'] + weight * term, LOSS_CONTRASTIVE: term}

    def eval_metrics(self) -> dict[str, keras.metrics.Metric]:
        """Means of the losses, beside the losses of predicting the mean patch."""
        return super().eval_metrics() | self.losses.mean_patch_metrics()

    def eval_scalars(self, model: AVMAE, batch: Batch) -> Scalars:
        """Losses [B] on held-out clips, and what `MeanPatchLoss` adds up."""
        inputs = {m: batch[m][:, 0] for m in self.config.modalities}
        outcome = self.reconstruct(model, inputs, tf.constant([self.config.seed, 1]))
        scalars = self.losses.scalars(self.losses.by_clip(outcome))
        scalars |= self.losses.mean_patch_moments(outcome)
        if self.contrast:
            term = self.contrast.by_clip(outcome.pooled, inputs, batch['weight'])
            scalars |= self._with_contrast(scalars, term)
        return scalars


class FinetuneTask(Task):
    """Classification of labelled clips (Sec. 4.1)."""

    name = 'finetune'
    labelled = True
    has_pictures = False

    def __init__(self, config: FinetuneConfig, dataset: Dataset):
        super().__init__(config, dataset)
        self.heads = head_sizes(config, dataset.heads)
        self.num_eval_views = config.num_views
        self.num_eval_crops = config.num_crops
        self.train_names = ('loss', *self._names('top1'))
        self.eval_names = ('loss', *self._names('top1'), *self._names('top5'))
        if {heads.NOUN, heads.VERB} <= set(self.heads):
            self.eval_names += ('action',)
        self.kept = (*KEPT, *self.heads)

    def _names(self, metric: str) -> tuple[str, ...]:
        """`metric` of each head; of the only head it needs no other name."""
        return tuple(metric if len(self.heads) == 1 else f'{metric}_{h}' for h in self.heads)

    def prepare(self, folder: str) -> str:
        """Counts the labels of the records, and says how many clips are left out.

        Raises:
            ValueError: a split has no clip with a label, or, under a softmax, clips with several.
        """
        self.dataset = count_labels(folder, self.dataset, splits.USED)
        if self.config.loss == 'softmax':
            check_one_label(folder, self.dataset, splits.USED)
        left_out = [
            (split, self.dataset.num_examples(split) - counted)
            for split in splits.USED
            for counted in [self.dataset.num_examples(split, labelled=True)]
        ]
        return ', '.join(f'{say_left_out(n)} of {split}' for split, n in left_out if n)

    def build(self) -> Classifier:
        return build_classifier(self.config, self.heads)

    def trainables(self, model: Classifier) -> list[tf.Variable]:
        """All variables, or the head's alone where the encoder is frozen."""
        frozen = self.config.freeze_encoder
        return model.head.trainable_variables if frozen else model.trainable_variables

    def _loss(self, model: Classifier, logits, targets, smoothing: float = 0.0) -> tf.Tensor:
        """Mean over heads of each clip's loss [B]."""
        return loss_over_heads(self.config.loss, model.split_heads(logits), targets, smoothing)

    def _hits(self, model: Classifier, logits, targets, k: int) -> Scalars:
        by_head = model.split_heads(logits)
        names = zip(self._names(f'top{k}'), by_head, strict=True)
        return {name: hits(by_head[head], targets[head], k) for name, head in names}

    def train_loss(self, model: Classifier, batch: Batch, seed: Seed) -> tuple[tf.Tensor, Scalars]:
        """Mean of the modalities' losses, each on its own logits and, after mixup, targets."""
        inputs = {m: batch[m] for m in self.config.modalities}
        labels = {head: batch[head] for head in self.heads}
        targets = dict.fromkeys(inputs, labels)
        if spec := self.config.augment.mixup:
            inputs = {m: to_values(x) for m, x in inputs.items()}
            inputs, targets = mixup(inputs, labels, of_batch(fold_in(seed, 1)), spec=spec)
        logits = model(inputs, seed=fold_in(seed, 0))
        smoothing = self.config.label_smoothing
        losses = [
            tf.reduce_mean(self._loss(model, x, targets[m], smoothing)) for m, x in logits.items()
        ]
        loss = tf.add_n(losses) / len(losses)
        right = self._hits(model, mean_logits(logits), labels, k=1)
        return loss, {'loss': loss, **{n: tf.reduce_mean(x) for n, x in right.items()}}

    def rate_factors(self, model: Classifier) -> list[float]:
        """Layer-wise decay [10, 20]; the head, which may be all that is trained, has none."""
        if self.config.freeze_encoder:
            return super().rate_factors(model)
        return layerwise_multipliers(model, self.config.layerwise_decay)

    def check_microbatches(self, size: int, count: int) -> None:
        super().check_microbatches(size, count)
        if count > 1 and self.config.augment.mixup and size // count % 2:
            raise ValueError(
                'augment.mixup mixes pairs of clips, which run.microbatches must not part: they '
                f'must be of an even number, got {count} of {size // count}; give another number, '
                'or unset augment.mixup'
            )

    def eval_scalars(self, model: Classifier, batch: Batch) -> Scalars:
        """Loss and hits [B] of the logits averaged over views; an action is a noun and a verb."""
        logits = view_averaged_logits(model, {m: batch[m] for m in self.config.modalities})
        targets = {head: batch[head] for head in self.heads}
        top1 = self._hits(model, logits, targets, k=1)
        scalars = {'loss': self._loss(model, logits, targets), **top1}
        scalars |= self._hits(model, logits, targets, k=5)
        if 'action' in self.eval_names:
            scalars['action'] = tf.reduce_prod(list(top1.values()), axis=0)
        return {**scalars, LOGITS: logits}
