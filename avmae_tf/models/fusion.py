"""How audio and video tokens meet: the encoders and decoders of Sec. 3.2 and 3.3 (Fig. 2).

A fusion maps a mapping of modality to tokens [B, N, D] to one of the same shapes, in stages.
`path` gives the ordered blocks that a modality's tokens go through and `norms` the norms between
and after them: all that a warm start and a layer-wise learning rate need to know.
"""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from avmae_tf import config
from avmae_tf.config import MODALITIES, BackboneSpec
from avmae_tf.models.blocks import Block, Stack
from avmae_tf.models.draws import fold_in
from avmae_tf.models.mbt import BottleneckFusion

Tokens = dict[str, tf.Tensor]


def concatenate(tokens: Tokens) -> tf.Tensor:
    """[B, N_m, D] per modality to [B, sum of N_m, D], in the order of MODALITIES."""
    return tf.concat([tokens[m] for m in MODALITIES if m in tokens], axis=1)


def split_like(joint: tf.Tensor, tokens: Tokens) -> Tokens:
    """The inverse of `concatenate`."""
    present = [m for m in MODALITIES if m in tokens]
    parts = tf.split(joint, [tokens[m].shape[1] for m in present], axis=1)
    return dict(zip(present, parts, strict=True))


class Joint(keras.layers.Layer):
    """One stack on the concatenation of the modalities."""

    def __init__(self, stack: Stack, **kwargs: Any):
        super().__init__(**kwargs)
        self.stack = stack

    def stack_of(self, modality: str) -> Stack:
        """The stack that `modality` goes through: the only one."""
        return self.stack

    def call(self, tokens: Tokens, seed: tf.Tensor | None = None) -> Tokens:
        return split_like(self.stack(concatenate(tokens), seed=seed), tokens)


class Streams(keras.layers.Layer):
    """A stack for each modality by itself; the same stack twice ties the weights."""

    def __init__(self, stacks: dict[str, Stack], **kwargs: Any):
        super().__init__(**kwargs)
        self.stacks = stacks

    def stack_of(self, modality: str) -> Stack:
        """The stack that `modality` goes through."""
        return self.stacks[modality]

    def call(self, tokens: Tokens, seed: tf.Tensor | None = None) -> Tokens:
        return {
            m: self.stacks[m](tokens[m], seed=fold_in(seed, MODALITIES.index(m)))
            for m in MODALITIES
            if m in tokens
        }


class Fusion(keras.layers.Layer):
    """Stages run one after the other; `seed` [2] means training, None inference."""

    def __init__(self, stages: Iterable[Joint | Streams], **kwargs: Any):
        super().__init__(**kwargs)
        self.stages = list(stages)

    def path(self, modality: str) -> list[Block]:
        """The blocks that a token of `modality` goes through, first to last."""
        return [block for stage in self.stages for block in stage.stack_of(modality).blocks]

    def norms(self, modality: str) -> dict[int, keras.layers.Layer]:
        """The norms on the way of `modality`, by the number of blocks before them."""
        norms, depth = {}, 0
        for stack in (stage.stack_of(modality) for stage in self.stages):
            depth += len(stack.blocks)
            norms[depth] = stack.norm
        return norms

    def last_norm(self, modality: str) -> keras.layers.Layer:
        """The norm after the last block of `modality`."""
        return self.stages[-1].stack_of(modality).norm

    def call(self, tokens: Tokens, seed: tf.Tensor | None = None) -> Tokens:
        for stage in self.stages:
            tokens = stage(tokens, seed=seed)
        return tokens

    def with_each_alone(self, tokens: Tokens) -> tuple[Tokens, Tokens]:
        """The tokens of `call`, and those of each modality as if the other were not there.

        What comes before the modalities meet is computed once.
        """
        alone, met = tokens, False
        for stage in self.stages:
            together = stage(tokens)
            met = met or isinstance(stage, Joint)
            alone = {m: stage({m: x})[m] for m, x in alone.items()} if met else together
            tokens = together
        return tokens, alone


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a fusion of one backbone is made of."""

    backbone: BackboneSpec
    modalities: tuple[str, ...]
    final_norm: bool  # whether it ends in a norm
    name: str
    block_options: dict  # of Block

    @property
    def depth(self) -> int:
        """Blocks of the whole backbone."""
        return self.backbone.num_layers

    def blocks(self, start: int, stop: int, prefix: str = '') -> list[Block]:
        """Blocks `start` to `stop` of the backbone, newly made."""
        return [
            Block(self.backbone, i, name=f'{prefix}block_{i}', **self.block_options)
            for i in range(start, stop)
        ]

    def stack(self, name: str, start: int = 0, stop: int | None = None) -> Stack:
        """Blocks and a norm; the last of the backbone have it only if the fusion ends in one."""
        stop = self.depth if stop is None else stop
        final_norm = self.final_norm or stop < self.depth
        return Stack(self.blocks(start, stop), final_norm=final_norm, name=name)


def build_fusion(
    spec: config.Fusion,
    backbone: BackboneSpec,
    modalities: Iterable[str],
    *,
    final_norm: bool = True,
    name: str,
    **block_options: Any,
) -> keras.layers.Layer:
    """The fusion that `spec` describes, for `modalities`; ends in a norm if `final_norm`.

    `block_options` are those of Block.
    """
    return fusion_of(spec, Parts(backbone, tuple(modalities), final_norm, name, block_options))


@functools.singledispatch
def fusion_of(spec: config.Fusion, parts: Parts) -> keras.layers.Layer:
    """The layer of a kind of fusion; a new kind registers its own."""
    raise TypeError(f'no layers are defined for the fusion {spec.kind!r}')


@fusion_of.register
def _(spec: config.Early, parts: Parts):
    return Fusion([Joint(parts.stack('joint'))], name=parts.name)


@fusion_of.register
def _(spec: config.Shared, parts: Parts):
    tied = parts.stack('tied')
    return Fusion([Streams({m: tied for m in parts.modalities})], name=parts.name)


@fusion_of.register
def _(spec: config.Separate, parts: Parts):
    return Fusion([Streams({m: parts.stack(m) for m in parts.modalities})], name=parts.name)


@fusion_of.register
def _(spec: config.Mid, parts: Parts):
    split = parts.depth - spec.fused_layers
    apart = Streams({m: parts.stack(m, 0, split) for m in parts.modalities})
    return Fusion([apart, Joint(parts.stack('joint', split))], name=parts.name)


@fusion_of.register
def _(spec: config.Bottleneck, parts: Parts):
    streams = {m: parts.blocks(0, parts.depth, f'{m}_') for m in parts.modalities}
    return BottleneckFusion(spec, parts.backbone.width, streams, name=parts.name)
