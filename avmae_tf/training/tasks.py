"""What one replica computes in a step of pretraining and of finetuning.

Shapes: B clips, V views, C classes.
"""

import contextlib

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import FinetuneConfig, PretrainConfig, TrainingConfig
from avmae_tf.data.records import Dataset
from avmae_tf.losses.classification import smooth_labels, softmax_loss
from avmae_tf.losses.objectives import JointReconstruction, total_loss
from avmae_tf.losses.reconstruction import mean_patch_loss
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.blocks import fold_in
from avmae_tf.models.classifier import Classifier, mean_logits
from avmae_tf.training.optimizers import layerwise_multipliers, scale

Scalars = dict[str, tf.Tensor]


@contextlib.contextmanager
def precision(policy: str):
    """Layers built inside compute in `policy` and keep their variables in float32."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def blank_inputs(config: TrainingConfig, batch: int) -> dict[str, tf.Tensor]:
    """Inputs of the right shapes, to create the variables of a model with."""
    return {m: tf.zeros([batch, *config.inputs(m).input_shape]) for m in config.modalities}


def build_avmae(config: PretrainConfig) -> AVMAE:
    """A pretraining model with all its variables."""
    with precision(config.precision):
        model = AVMAE(config, name='avmae')
        masks = model.draw_masks(tf.zeros([2], tf.int32), batch=1)
        JointReconstruction()(model, blank_inputs(config, 1), masks)
    return model


def build_classifier(config: FinetuneConfig, num_classes: int) -> Classifier:
    """A finetuning model with all its variables."""
    with precision(config.precision):
        model = Classifier(config, num_classes, name='classifier')
        model(blank_inputs(config, 1))
    return model


class PretrainTask:
    """Masked reconstruction of unlabelled clips (Sec. 3.4)."""

    name = 'pretrain'
    num_test_views = 1
    draws = True  # pictures of reconstructions, as in Fig. 5

    def __init__(self, config: PretrainConfig, dataset: Dataset):
        self.config = config
        self.dataset = dataset
        self.objective = JointReconstruction()
        self.train_names = ('loss', *(f'loss_{m}' for m in config.modalities))
        self.test_names = (*self.train_names, *(f'mean_patch_{n}' for n in self.train_names))

    def build(self) -> AVMAE:
        return build_avmae(self.config)

    def reconstruct(self, model: AVMAE, inputs, seed):
        """The objective's reconstruction under masks drawn from `seed` [2]."""
        batch = inputs[self.config.modalities[0]].shape[0]
        return self.objective(model, inputs, model.draw_masks(seed, batch))

    def train_loss(self, model: AVMAE, batch, seed) -> tuple[tf.Tensor, Scalars]:
        losses = self.reconstruct(model, batch, seed).losses()
        loss = total_loss(losses)
        return loss, {'loss': loss, **{f'loss_{m}': x for m, x in losses.items()}}

    def prepare_gradients(self, model: AVMAE, gradients):
        return gradients

    def test_scalars(self, model: AVMAE, batch) -> Scalars:
        """Losses [B] on held-out clips, beside those of predicting the mean patch."""
        inputs = {m: batch[m][:, 0] for m in self.config.modalities}
        outcome = self.reconstruct(model, inputs, tf.constant([self.config.seed, 1]))
        losses = outcome.losses()
        mean = {m: mean_patch_loss(x) for m, x in outcome.target.items()}
        scalars = {'loss': total_loss(losses), 'mean_patch_loss': total_loss(mean)}
        for m in losses:
            scalars |= {f'loss_{m}': losses[m], f'mean_patch_loss_{m}': mean[m]}
        return {k: tf.repeat(v, tf.shape(batch['weight'])) for k, v in scalars.items()}


class FinetuneTask:
    """Classification of labelled clips (Sec. 4.1)."""

    name = 'finetune'
    draws = False
    train_names = ('loss', 'top1')
    test_names = ('loss', 'top1', 'top5')

    def __init__(self, config: FinetuneConfig, dataset: Dataset):
        if len(dataset.classes) < 2:
            raise ValueError(
                f'finetuning needs records with at least two classes, got {dataset.classes}; '
                'give `avmae convert` an annotation file with labels'
            )
        self.config = config
        self.dataset = dataset
        self.num_test_views = config.num_views

    def build(self) -> Classifier:
        return build_classifier(self.config, len(self.dataset.classes))

    def train_loss(self, model: Classifier, batch, seed) -> tuple[tf.Tensor, Scalars]:
        """Mean of the modalities' losses, each on its own logits."""
        logits = model({m: batch[m] for m in self.config.modalities}, seed=fold_in(seed, 0))
        targets = smooth_labels(batch['label'], self.config.label_smoothing)
        losses = [tf.reduce_mean(softmax_loss(x, targets)) for x in logits.values()]
        loss = tf.add_n(losses) / len(losses)
        correct = keras.metrics.categorical_accuracy(batch['label'], mean_logits(logits))
        return loss, {'loss': loss, 'top1': tf.reduce_mean(correct)}

    def prepare_gradients(self, model: Classifier, gradients):
        """Clips by the global norm, then scales each layer's update."""
        gradients, _ = tf.clip_by_global_norm(gradients, self.config.clip_norm)
        return scale(gradients, layerwise_multipliers(model, self.config.layerwise_decay))

    def test_scalars(self, model: Classifier, batch) -> Scalars:
        """Loss and hits [B] of the logits averaged over views."""
        logits = view_averaged_logits(model, {m: batch[m] for m in self.config.modalities})
        labels = batch['label']
        return {
            'loss': softmax_loss(logits, labels),
            'top1': keras.metrics.categorical_accuracy(labels, logits),
            'top5': keras.metrics.top_k_categorical_accuracy(labels, logits, k=5),
        }


def merge_views(views: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], int]:
    """Inputs [B, V, ...] to [B V, ...], and V."""
    num_views = next(iter(views.values())).shape[1]
    return {m: tf.reshape(x, [-1, *x.shape[2:]]) for m, x in views.items()}, num_views


def view_averaged_logits(model: Classifier, views: dict[str, tf.Tensor]) -> tf.Tensor:
    """Inputs [B, V, ...] to logits [B, C], the mean over views and modalities."""
    flat, num_views = merge_views(views)
    logits = mean_logits(model(flat))
    return tf.reduce_mean(tf.reshape(logits, [-1, num_views, logits.shape[-1]]), axis=1)
