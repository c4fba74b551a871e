"""What a model is made of and what a clip costs it, without allocating any of its variables."""

import dataclasses
import math
from collections.abc import Iterator

import tensorflow as tf

from avmae_tf.config import BackboneSpec, FinetuneConfig, PretrainConfig, TrainingConfig
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.classifier import Classifier
from avmae_tf.models.cost import STEP_IN_PASSES, finetuning_flops, pretraining_flops


@dataclasses.dataclass(frozen=True)
class Part:
    """Layers of a model that the same tokens go through; `heads` are those of attention."""

    part: str
    parameters: int
    width: int
    blocks: int = 0
    heads: int = 0


def _count(variables) -> int:
    return sum(math.prod(v.shape) for v in variables)


def _parameters(layers) -> int:
    return sum(_count(layer.trainable_variables) for layer in layers)


def _fusion_parts(name: str, fusion, modalities, spec: BackboneSpec) -> Iterator[Part]:
    """A part for all blocks and norms that the same modalities go through."""
    layers, ways = {}, {}
    for m in modalities:
        for layer in (*fusion.path(m), *fusion.norms(m).values()):
            layers[id(layer)] = layer
            ways.setdefault(id(layer), []).append(m)
    blocks = {id(block) for m in modalities for block in fusion.path(m)}
    rest = _parameters([fusion])
    for way in sorted(
        {tuple(w) for w in ways.values()}, key=lambda w: (len(w), modalities.index(w[0]))
    ):
        here = [i for i in layers if tuple(ways[i]) == way]
        parameters = _parameters(layers[i] for i in here)
        rest -= parameters
        depth = len(blocks & set(here))
        title = f'{name}, {" and ".join(way)}' + ('' if depth else ' (norm)')
        heads = spec.num_heads if depth else 0
        yield Part(title, parameters, spec.width, depth, heads)
    if rest:
        yield Part(f'{name}, bottleneck tokens', rest, spec.width)


def parts_of(model: AVMAE | Classifier) -> list[Part]:
    """The parts of a model in the order in which a clip meets them; all its parameters."""
    settings, modalities = model.config, model.config.modalities
    width = settings.backbone.width
    parts = [Part(f'{m} embedding', _parameters([model.embeddings[m]]), width) for m in modalities]
    if isinstance(model, Classifier):
        parts += _fusion_parts('encoder', model.encoder, modalities, settings.backbone)
        return [*parts, Part('head', _parameters([model.head]), model.head.units)]
    decoder = settings.decoder
    for name, tokens in model.modality_tokens.items():
        parts.append(
            Part(
                f'modality tokens, {name}', _count(tokens.values()), tokens[modalities[0]].shape[0]
            )
        )
    parts += _fusion_parts('encoder', model.encoder, modalities, settings.backbone)
    projections = model.decoder_projections
    parts += [
        Part(f'{m} decoder projection', _parameters([projections[m]]), decoder.width)
        for m in modalities
    ]
    parts.append(Part('mask tokens', _count(model.mask_tokens.values()), decoder.width))
    parts += _fusion_parts('decoder', model.decoder, modalities, decoder.backbone)
    parts += [
        Part(f'{m} prediction', _parameters([layer]), layer.units)
        for m, layer in model.predictions.items()
    ]
    return parts


def summarise(settings: TrainingConfig, heads: dict[str, int] | None = None) -> dict:
    """Parts, parameters, tokens and FLOPs of the model that `settings` describe, as plain values.

    `heads` gives the classes of each head of a classifier. FLOPs are those of one clip, of a
    classifier of one view of it (`models.cost`).
    """
    with tf.Graph().as_default():  # variables of a graph have no memory
        if isinstance(settings, PretrainConfig):
            build, arguments = build_avmae, (settings,)
        else:
            build, arguments = build_classifier, (settings, heads)
        model = tf.autograph.experimental.do_not_convert(build)(*arguments)
        parts = parts_of(model)
        total = _parameters([model])
    assert sum(part.parameters for part in parts) == total
    tokens = {m: {'all': n} for m, n in settings.num_tokens.items()}
    if isinstance(settings, PretrainConfig):
        flops = pretraining_flops(settings)
        for m, n in settings.num_visible_tokens.items():
            tokens[m]['visible'] = n
    else:
        flops = finetuning_flops(settings, sum(heads.values()))
    forward = sum(flops.values())
    return {
        **_kinds(settings, heads),
        'parts': [dataclasses.asdict(part) for part in parts],
        'parameters': total,
        'inputs': {m: list(settings.inputs(m).input_shape) for m in settings.modalities},
        'tokens': tokens,
        'flops': {'parts': flops, 'forward': forward, 'training_step': STEP_IN_PASSES * forward},
    }


def _kinds(settings: PretrainConfig | FinetuneConfig, heads: dict[str, int] | None) -> dict:
    if isinstance(settings, PretrainConfig):
        return {
            'task': 'pretrain',
            'encoder': settings.encoder.kind,
            'decoder': settings.decoder.fusion.kind,
            'objective': settings.objective.kind,
        }
    views = {'views': settings.num_views, 'crops': settings.num_crops}
    return {'task': 'finetune', 'encoder': settings.fusion.kind, 'classes': heads, **views}
