"""Initialising a classifier from a pretrained encoder, path to path (Sec. 4.1)."""

import dataclasses

from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """What a warm start took from the pretrained model, and what it left as it was drawn."""

    taken: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self):
        return f'took {", ".join(self.taken)}; left {", ".join(self.left)} as drawn'


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


def warm_start(model: Classifier, pretrained: AVMAE) -> WarmStart:
    """Copies embeddings, blocks and the last norm; bottlenecks and head stay as drawn.

    A modality that was not pretrained takes the blocks of the one that was (Table 3). The last
    norm is taken where the pretrained encoder has one for all its modalities: the streams of a
    separate encoder end in norms of their own, which MBT's single norm cannot take.
    """
    taken, left = [], ['head']
    known = pretrained.config.modalities
    for modality in model.config.modalities:
        source = modality if modality in known else known[0]
        if modality in known:
            copy_layer(
                pretrained.embeddings[modality],
                model.embeddings[modality],
                f'{modality} embedding',
            )
            taken.append(f'{modality} embedding')
        else:
            left.append(f'{modality} embedding')
        blocks, targets = pretrained.encoder.path(source), model.encoder.path(modality)
        if len(blocks) != len(targets):
            raise ValueError(
                f'warm start: the classifier has {len(targets)} blocks, the pretrained encoder '
                f'{len(blocks)}; give both the same backbone'
            )
        for i, (block, target) in enumerate(zip(blocks, targets, strict=True)):
            copy_layer(block, target, f'{modality} block {i}')
        taken.append(f'{len(blocks)} {modality} blocks')
    norms = {id(n): n for n in (pretrained.encoder.last_norm(m) for m in known)}
    if len(norms) == 1:
        for modality in model.config.modalities:
            copy_layer(*norms.values(), model.encoder.last_norm(modality), 'last norm')
        taken.append('last norm')
    else:
        left.append('last norm')
    return WarmStart(taken=tuple(taken), left=tuple(left))
