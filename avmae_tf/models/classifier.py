"""The downstream classifier on any fusion (Sec. 4.1, Finetuning).

Shapes: B clips, V views, N tokens, D width, S segments of a clip, C classes of all heads.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import FinetuneConfig, PatchGrid
from avmae_tf.models.dense import Dense
from avmae_tf.models.fusion import build_fusion
from avmae_tf.models.loops import mapped
from avmae_tf.models.patches import PatchEmbedding, patchify


def pooling_weights(grid: PatchGrid, segments: int) -> np.ndarray:
    """Weights [S, N] of the tokens in the mean of each of `segments` equal parts of the input.

    A token counts by the share of its time that lies in the part.
    """
    edges = np.linspace(0, 1, grid.grid[0] + 1)
    parts = np.linspace(0, 1, segments + 1)
    ends = np.minimum(edges[None, 1:], parts[1:, None])
    overlap = np.maximum(ends - np.maximum(edges[None, :-1], parts[:-1, None]), 0)
    weights = np.repeat(overlap, grid.num_tokens // grid.grid[0], axis=1)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


class Classifier(keras.layers.Layer):
    """All tokens through the fusion, a mean per modality, one output layer for each of them.

    `heads` maps names to numbers of classes; their logits lie side by side. With more than one
    segment there are logits for each (event localisation, appendix A.1).
    """

    def __init__(self, config: FinetuneConfig, heads: dict[str, int], **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.head_sizes = dict(heads)
        grids = {m: config.inputs(m) for m in config.modalities}
        self.embeddings = {
            m: PatchEmbedding(
                grids[m], config.backbone.width, positions=config.positions, name=f'{m}_embedding'
            )
            for m in grids
        }
        self.encoder = build_fusion(
            config.fusion,
            config.backbone,
            grids,
            stochastic_depth=config.stochastic_depth,
            final_norm=not config.norm_after_pooling,
            rematerialise=config.rematerialise,
            name='encoder',
        )
        self.pooling = {m: pooling_weights(grids[m], config.segments) for m in grids}
        self.head = Dense(sum(heads.values()), kernel_initializer='zeros', name='head')

    @property
    def logits_shape(self) -> list[int]:
        """[C], or [S, C]."""
        segments = [self.config.segments] if self.config.segments > 1 else []
        return [*segments, sum(self.head_sizes.values())]

    def embed(
        self, inputs: dict[str, tf.Tensor], seed: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Mean of a modality's encoded tokens, [B, D], or [B, S, D] where S is not 1.

        Frames are uint8, or floats in [-1, 1].
        With `norm_after_pooling` the last norm is taken of the mean, not of each token.
        """
        tokens = {
            m: embedding(patchify(inputs[m], embedding.grid))
            for m, embedding in self.embeddings.items()
        }
        encoded = self.encoder(tokens, seed=seed)
        pooled = {
            m: tf.cast(tf.einsum('sn,bnd->bsd', self.pooling[m], tf.cast(x, tf.float32)), x.dtype)
            for m, x in encoded.items()
        }
        if self.config.norm_after_pooling:
            pooled = {m: self.encoder.last_norm(m)(x) for m, x in pooled.items()}
        if self.config.segments == 1:
            pooled = {m: tf.squeeze(x, axis=1) for m, x in pooled.items()}
        return pooled

    def call(
        self, inputs: dict[str, tf.Tensor], seed: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Logits, float32 [B, C] or [B, S, C], by modality; a `seed` [2] means training."""
        if self.config.freeze_encoder:
            pooled = {m: tf.stop_gradient(x) for m, x in self.embed(inputs).items()}
        else:
            pooled = self.embed(inputs, seed=seed)
        return self.classify(pooled)

    def classify(self, pooled: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What `embed` gives to logits, float32 [B, C] or [B, S, C], by modality."""
        return {m: tf.cast(self.head(x), tf.float32) for m, x in pooled.items()}

    def split_heads(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Logits [..., C] of all heads to those of each."""
        parts = tf.split(logits, list(self.head_sizes.values()), axis=-1)
        return dict(zip(self.head_sizes, parts, strict=True))


def mean_logits(logits: dict[str, tf.Tensor]) -> tf.Tensor:
    """The logits that are evaluated and served: the mean over modalities."""
    return tf.add_n(list(logits.values())) / len(logits)


def mean_over_views(function: Callable[..., Any], views: Any, specs: Any) -> Any:
    """Mean of what `function` makes of each of `views` [V, ...], a structure of `specs`.

    They are taken one after the other, so that memory does not grow with them.
    """
    values = mapped(function, views, specs)
    return tf.nest.map_structure(lambda x: tf.reduce_mean(x, axis=0), values)


def view_averaged_logits(model: Classifier, views: dict[str, tf.Tensor]) -> tf.Tensor:
    """Inputs [B, V, ...] to logits [B, (S,) C], the mean over views and modalities."""
    batch, num_views = next(iter(views.values())).shape[:2]

    def one(view):
        return mean_logits(model({m: tf.gather(x, view, axis=1) for m, x in views.items()}))

    spec = tf.TensorSpec([batch, *model.logits_shape])
    return mean_over_views(one, tf.range(num_views), spec)
