"""MBT: two streams that exchange a few bottleneck tokens [56], as a fusion like the others.

Shapes: B clips, N tokens of one modality, K bottleneck tokens, D width.
"""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import MODALITIES, Bottleneck
from avmae_tf.models.blocks import Block, LayerNorm, fold_in


class BottleneckFusion(keras.layers.Layer):
    """From block `fusion_layer` on, each modality reads [its tokens; the same old bottleneck].

    The new bottleneck is the mean over the modalities. One norm serves both streams.
    """

    def __init__(
        self, spec: Bottleneck, width: int, streams: dict[str, list[Block]], **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.spec = spec
        self.streams = streams
        self.norm = LayerNorm(name='norm')
        depth = len(next(iter(streams.values())))
        fused = len(streams) > 1 and spec.fusion_layer < depth
        self.bottleneck = (
            self.add_weight(
                name='bottleneck',
                shape=[1, spec.num_bottlenecks, width],
                initializer=keras.initializers.RandomNormal(stddev=0.02),
            )
            if fused
            else None
        )

    def path(self, modality: str) -> list[Block]:
        """The blocks that a token of `modality` goes through, first to last."""
        return self.streams[modality]

    def norms(self, modality: str) -> dict[int, keras.layers.Layer]:
        """The norm at the end, the same for both streams, by the number of blocks before it."""
        return {len(self.streams[modality]): self.norm}

    def last_norm(self, modality: str) -> keras.layers.Layer:
        """The norm after the last block, the same for both streams."""
        return self.norm

    def call(
        self, tokens: dict[str, tf.Tensor], seed: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Mapping of modality to [B, N, D], to the same shapes."""
        present = [m for m in MODALITIES if m in tokens]
        seeds = {m: fold_in(seed, MODALITIES.index(m)) for m in present}
        x, bottleneck = dict(tokens), self.bottleneck
        if bottleneck is not None:
            batch = tf.shape(x[present[0]])[0]
            bottleneck = tf.repeat(tf.cast(bottleneck, self.compute_dtype), batch, axis=0)
        for i in range(len(self.streams[present[0]])):
            if bottleneck is None or i < self.spec.fusion_layer:
                x = {m: self.streams[m][i](x[m], seed=seeds[m]) for m in present}
                continue
            sizes = [None, self.spec.num_bottlenecks]
            parts = {}
            for m in present:
                sizes[0] = x[m].shape[1]
                y = self.streams[m][i](tf.concat([x[m], bottleneck], axis=1), seed=seeds[m])
                parts[m] = tf.split(y, sizes, axis=1)
            x = {m: parts[m][0] for m in present}
            bottleneck = tf.add_n([parts[m][1] for m in present]) / len(present)
        return {m: self.norm(x[m]) for m in present}
