"""Models from their settings, with all their variables."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import FinetuneConfig, JointReconstruction, PretrainConfig, TrainingConfig
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.classifier import Classifier


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers built inside compute in `policy` and keep their variables in float32."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def blank_inputs(config: TrainingConfig, batch: int) -> dict[str, tf.Tensor]:
    """Zeros [batch, *input_shape] by modality: of no clips, variables are created for nothing."""
    return {m: tf.zeros([batch, *config.inputs(m).input_shape]) for m in config.modalities}


def build_avmae(config: PretrainConfig) -> AVMAE:
    """An autoencoder; its variables do not depend on the objective."""
    with precision(config.precision):
        model = AVMAE(config, name='avmae')
        masks = model.sample_masks(tf.zeros([2], tf.int32), batch=0)
        patches = model.patchify(blank_inputs(config, 0))
        encoded = model.encode(patches, masks)
        model.reconstruct(JointReconstruction(), 1.0, patches, encoded, masks)
    return model


def build_classifier(config: FinetuneConfig, heads: dict[str, int]) -> Classifier:
    """A classifier; `heads` gives the number of classes of each."""
    with precision(config.precision):
        model = Classifier(config, heads, name='classifier')
        model(blank_inputs(config, 0))
    return model
