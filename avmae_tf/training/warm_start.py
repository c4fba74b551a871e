"""Initialising a classifier from pretrained encoders, path to path (Sec. 4.1, Tables 3, 6 and 10).

Shapes: N tokens, D width.
"""

import dataclasses

import numpy as np
import tf_keras as keras

from avmae_tf.config import MODALITIES, check_start, origins
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.classifier import Classifier
from avmae_tf.models.mbt import BottleneckFusion
from avmae_tf.models.patches import PatchEmbedding

Encoder = AVMAE | Classifier  # whatever has embeddings, and a fusion with paths and norms


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """What a warm start took from the pretrained model, and what it left as it was drawn."""

    taken: tuple[str, ...]
    left: tuple[str, ...]
    unused: tuple[str, ...] = ()  # of the pretrained model: there is no place for it

    def __str__(self):
        unused = f'; no use for {", ".join(self.unused)}' if self.unused else ''
        return f'took {", ".join(self.taken)}; left {", ".join(self.left)} as drawn{unused}'


def copy_layer(source: keras.layers.Layer, target: keras.layers.Layer, name: str) -> None:
    """Copies all weights; raises ValueError where a shape differs."""
    pairs = list(zip(source.weights, target.weights, strict=True))
    for a, b in pairs:
        if a.shape != b.shape:
            raise ValueError(
                f'warm start: {name} has the shape {tuple(b.shape)} but the pretrained model '
                f'{tuple(a.shape)}; backbone and patches of both configurations must agree'
            )
    for a, b in pairs:
        b.assign(a)


def resize_positions(
    table: np.ndarray, source: tuple[int, ...], target: tuple[int, ...]
) -> np.ndarray:
    """A table [N, D] of a grid `source` of tokens to one of `target`, linear along every axis."""
    x = table.reshape(*source, -1)
    for axis, (old, new) in enumerate(zip(source, target, strict=True)):
        places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        below = np.floor(places).astype(int)
        above = np.minimum(below + 1, old - 1)
        share = (places - below).reshape(-1, *[1] * (x.ndim - axis - 1))
        x = np.take(x, below, axis) * (1 - share) + np.take(x, above, axis) * share
    return x.reshape(-1, x.shape[-1]).astype(table.dtype)


def _copy_embedding(source: PatchEmbedding, target: PatchEmbedding, name: str):
    """The projection, and learned positions fitted to the number of frames or seconds."""
    copy_layer(source.projection, target.projection, name)
    if not isinstance(target.positions, np.ndarray):
        table = np.asarray(source.positions)
        target.positions.assign(resize_positions(table, source.grid.grid, target.grid.grid))


def warm_start(model: Classifier, *pretrained: Encoder) -> WarmStart:
    """Copies embeddings, blocks and norms, and an earlier classifier's bottlenecks; not the head.

    With two encoders each modality is taken from the first that knows it (Table 10); one that
    neither knows takes the blocks of another (Table 3). MBT's norm, which serves both streams, is
    taken only where the pretraining had one norm for all: the streams of a separate encoder end in
    norms of their own.

    Raises:
        ValueError: the encoders do not fit, or are none, or more than two.
    """
    configs = [encoder.config for encoder in pretrained]
    check_start(model.config, configs, ['warm start'] * len(configs))
    found = origins(model.config.modalities, configs)
    known = origins([m for m in MODALITIES if any(m in c.modalities for c in configs)], configs)
    taken, left, unused, blocks_of = [], ['head'], [], {}
    for modality, (number, origin) in found.items():
        encoder = pretrained[number]
        if modality == origin:
            source, target = encoder.embeddings[modality], model.embeddings[modality]
            _copy_embedding(source, target, f'{modality} embedding')
            taken.append(f'{modality} embedding')
            if isinstance(target.positions, np.ndarray) and encoder.config.positions == 'learned':
                unused.append(f'{modality} positions')
            if getattr(encoder, 'modality_tokens', None):
                unused.append(f'{modality} token')
        else:
            left.append(f'{modality} embedding')
        blocks, targets = encoder.encoder.path(origin), model.encoder.path(modality)
        for i, (block, target) in enumerate(zip(blocks, targets, strict=True)):
            if blocks_of.setdefault(id(target), block) is not block:  # a kind that did not say so
                raise ValueError(
                    f'warm start: block {i} of the classifier serves both modalities, but the '
                    'pretrained encoder has one for each; finetune with the fusion of the encoder'
                )
            copy_layer(block, target, f'{modality} block {i}')
        taken.append(
            f'{len(blocks)} {modality} blocks'
            + ('' if origin == modality else f' from those of {origin}')
        )
        for place, norm in model.encoder.norms(modality).items():
            name = 'last norm' if place == len(targets) else f'{modality} norm after block {place}'
            sources = [pretrained[n].encoder.norms(m).get(place) for n, m in known.values()]
            alike = len({id(x) for x in sources}) == 1
            fits = alike or not isinstance(model.encoder, BottleneckFusion)
            source = encoder.encoder.norms(origin).get(place)
            if source is not None and fits:
                copy_layer(source, norm, name)
                taken.append(name)
            else:
                left.append(name)
    _copy_bottlenecks(model, [pretrained[number] for number, _ in found.values()], taken, left)
    return WarmStart(*(tuple(dict.fromkeys(names)) for names in (taken, left, unused)))


def _copy_bottlenecks(model: Classifier, encoders: list[Encoder], taken: list, left: list):
    """Those of an earlier classifier, if it is the only one and has as many."""
    target = getattr(model.encoder, 'bottleneck', None)
    if target is None:
        return
    sources = {id(e): getattr(e.encoder, 'bottleneck', None) for e in encoders}
    source = next(iter(sources.values()))
    if len(sources) == 1 and source is not None and source.shape == target.shape:
        target.assign(source)
        taken.append('bottlenecks')
    else:
        left.append('bottlenecks')
