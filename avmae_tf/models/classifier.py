"""The downstream classifier on any fusion (Sec. 4.1, Finetuning).

Shapes: B clips, N tokens, D width, C classes.
"""

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import FinetuneConfig
from avmae_tf.models.fusion import build_fusion
from avmae_tf.models.patches import PatchEmbedding, patchify


class Classifier(keras.layers.Layer):
    """All tokens through the fusion, a mean per modality, one output layer for each of them."""

    def __init__(self, config: FinetuneConfig, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        grids = {m: config.inputs(m) for m in config.modalities}
        self.embeddings = {
            m: PatchEmbedding(grids[m], config.backbone.width, name=f'{m}_embedding') for m in grids
        }
        self.encoder = build_fusion(
            config.fusion,
            config.backbone,
            grids,
            stochastic_depth=config.stochastic_depth,
            name='encoder',
        )
        self.head = keras.layers.Dense(num_classes, kernel_initializer='zeros', name='head')

    def embed(self, inputs: dict[str, tf.Tensor], seed=None) -> dict[str, tf.Tensor]:
        """Mean of a modality's encoded tokens, float [B, D] for each modality."""
        tokens = {
            m: embedding(patchify(inputs[m], embedding.grid))
            for m, embedding in self.embeddings.items()
        }
        encoded = self.encoder(tokens, seed=seed)
        return {m: tf.reduce_mean(x, axis=1) for m, x in encoded.items()}

    def call(self, inputs, seed=None) -> dict[str, tf.Tensor]:
        """Logits, float32 [B, C] for each modality; a `seed` [2] means training."""
        pooled = self.embed(inputs, seed=seed)
        return {m: tf.cast(self.head(x), tf.float32) for m, x in pooled.items()}


def mean_logits(logits: dict[str, tf.Tensor]) -> tf.Tensor:
    """What is tested: the mean over modalities [B, C]."""
    return tf.add_n(list(logits.values())) / len(logits)
