"""Initialising a classifier from pretrained encoders, path to path (Sec. 4.1, Tables 3, 6 and 10).

Shapes: N tokens, D width.
"""

import dataclasses

import numpy as np

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


def copy_layer(source, target, name: str):
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


def resize_positions(table: np.ndarray, source: tuple[int, ...], target: tuple[int, ...]):
    """A table [N, D] of a grid `source` of tokens to one of `target`, linear along every axis."""
    x = table.reshape(*source, -1)
    for axis, (old, new) in enumerate(zip(source, target, strict=True)):
        places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        below = np.floor(places).astype(int)
        above = np.minimum(below + 1, old - 1)
        share = (places - below).reshape(-1, *[1] * (x.ndim - axis - 1))
        x = np.take(x, below, axis) * (1 - share) + np.take(x, above, axis) * share
    return x.reshape(-1, x.shape[-1]).astype(table.dtype)


def _check_backbone(model: Classifier, encoder: Encoder):
    """Heads do not show in shapes: the numbers of both backbones must be equal."""
    ours, theirs = model.config.backbone.model_dump(), encoder.config.backbone.model_dump()
    for field in ours:
        if ours[field] != theirs[field]:
            raise ValueError(
                f'warm start: the classifier has the backbone.{field} {ours[field]}, the '
                f'pretrained encoder {theirs[field]}; give both the same backbone'
            )


def _copy_embedding(source: PatchEmbedding, target: PatchEmbedding, name: str):
    """The projection, and learned positions fitted to the number of frames or seconds."""
    if source.grid.patch_shape != target.grid.patch_shape:
        raise ValueError(
            f'warm start: {name} is of patches {target.grid.patch_shape}, that of the pretrained '
            f'model of {source.grid.patch_shape}; give both the same patch'
        )
    copy_layer(source.projection, target.projection, name)
    if not isinstance(target.positions, np.ndarray):
        table = np.asarray(source.positions)
        target.positions.assign(resize_positions(table, source.grid.grid, target.grid.grid))


def warm_start(model: Classifier, *pretrained: Encoder) -> WarmStart:
    """Copies embeddings, blocks and norms; bottlenecks and head stay as drawn.

    With several encoders each modality is taken from the first that knows it (Table 10); one that
    none of them knows takes the blocks of another (Table 3). MBT's norm, which serves both
    streams, is taken only where the pretraining had one norm for all: the streams of a separate
    encoder end in norms of their own.
    """
    if not pretrained:
        raise ValueError('warm start: needs at least one pretrained encoder, got none')
    known = {m: encoder for encoder in reversed(pretrained) for m in encoder.config.modalities}
    for encoder in known.values():
        _check_backbone(model, encoder)
    taken, left, unused, origins = [], ['head'], [], {}
    for modality in model.config.modalities:
        origin = modality if modality in known else next(iter(pretrained)).config.modalities[0]
        encoder = known[origin]
        if modality in known:
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
            if origins.setdefault(id(target), block) is not block:
                raise ValueError(
                    f'warm start: block {i} of the classifier serves both modalities, but the '
                    'pretrained encoder has one for each; finetune with fusion=bottleneck or '
                    'with the fusion of the encoder (paper, Sec. 4.1)'
                )
            copy_layer(block, target, f'{modality} block {i}')
        taken.append(
            f'{len(blocks)} {modality} blocks'
            + ('' if origin == modality else f' from those of {origin}')
        )
        for place, norm in model.encoder.norms(modality).items():
            name = 'last norm' if place == len(targets) else f'{modality} norm after block {place}'
            sources = {m: e.encoder.norms(m).get(place) for m, e in known.items()}
            alike = len({id(x) for x in sources.values()}) == 1
            fits = alike or not isinstance(model.encoder, BottleneckFusion)
            if sources[origin] is not None and fits:
                copy_layer(sources[origin], norm, name)
                taken.append(name)
            else:
                left.append(name)
    return WarmStart(*(tuple(dict.fromkeys(names)) for names in (taken, left, unused)))
