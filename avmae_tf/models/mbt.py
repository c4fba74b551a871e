"""MBT: two streams that exchange a few bottleneck tokens [56], as a fusion like the others.

Shapes: B clips, N tokens of one modality, K bottleneck tokens, D width.
"""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import MODALITIES, Bottleneck
from avmae_tf.models.blocks import Block, LayerNorm
from avmae_tf.models.depth import kept_branches, nth
from avmae_tf.models.draws import fold_in
from avmae_tf.models.repeat import repeated


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
        seeds = [fold_in(seed, MODALITIES.index(m)) for m in present]
        first = self.spec.fusion_layer if self.bottleneck is not None else None
        rows = list(zip(*(self.streams[m] for m in present), strict=True))
        kept = kept_branches(rows, seeds, tokens[present[0]])

        def apart(state, kept, *blocks):
            pairs = zip(blocks, state, strict=True)
            return [block(x, kept=nth(kept, i)) for i, (block, x) in enumerate(pairs)]

        def fused(state, kept, *blocks):
            *streams, bottleneck = state
            given = [tf.concat([x, bottleneck], axis=1) for x in streams]
            parts = [
                tf.split(y, [x.shape[1], self.spec.num_bottlenecks], axis=1)
                for x, y in zip(streams, apart(given, kept, *blocks), strict=True)
            ]
            streams, bottlenecks = zip(*parts, strict=True)
            return [*streams, tf.add_n(bottlenecks) / len(present)]

        state = repeated(apart, rows[:first], [tokens[m] for m in present], nth(kept, slice(first)))
        if self.bottleneck is not None:
            batch = state[0].shape[0] or tf.shape(state[0])[0]
            bottleneck = tf.cast(self.bottleneck, self.compute_dtype)
            bottleneck = tf.broadcast_to(bottleneck, [batch, *bottleneck.shape[1:]])
            after = nth(kept, slice(first, None))
            *state, _ = repeated(fused, rows[first:], [*state, bottleneck], after)
        return {m: self.norm(x) for m, x in zip(present, state, strict=True)}
