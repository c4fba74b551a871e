"""The authors' parameter names: which part of which of our variables each of them is.

One table serves both directions. Every array of theirs is, reshaped, some columns of a variable
of ours: heads are the slow part of an axis of ours, and a patch embedding of theirs is a
convolution whose kernel, flattened, maps patches as `patchify` orders their values.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from avmae_tf import config
from avmae_tf.config import AUDIO, VIDEO
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.blocks import Block, Stack
from avmae_tf.models.classifier import Classifier

SUFFIXES = {VIDEO: '_rgb', AUDIO: '_spectrogram'}
ALIAS, SPELLING = 'embedding_spec/', 'embedding_spectrogram/'  # the release has both
HEAD = 'ProjectionHeadAndClassifier_0/output_projection'


class Leaf(NamedTuple):
    """A parameter of theirs: `shape` there, `columns` (last axis) of `variable` here."""

    variable: tf.Variable
    shape: tuple[int, ...]
    columns: slice = slice(None)

    def of(self, value: np.ndarray) -> np.ndarray:
        """Their array out of one that belongs to our variable: itself, or its gradient."""
        return np.asarray(value)[..., self.columns].reshape(self.shape)


Table = dict[str, Leaf]
Layers = dict[str, Callable]  # their module's path to our layer


def _whole(name: str, variable, shape=None) -> Table:
    return {name: Leaf(variable, tuple(shape or variable.shape))}


def _dense(name: str, layer, shape=None) -> Table:
    return _whole(f'{name}/kernel', layer.kernel, shape) | _whole(f'{name}/bias', layer.bias)


def _norm(name: str, layer) -> Table:
    return _whole(f'{name}/scale', layer.scale) | _whole(f'{name}/bias', layer.offset)


def _block(name: str, block: Block) -> Table:
    attention, fused = block.attention, block.attention.query_key_value
    width, heads = attention.out.kernel.shape[0], attention.num_heads
    split = (heads, width // heads)
    inner = f'{name}/MultiHeadDotProductAttention_0'
    table = _norm(f'{name}/LayerNorm_0', block.attention_norm)
    for i, part in enumerate(('query', 'key', 'value')):
        columns = slice(i * width, (i + 1) * width)
        table[f'{inner}/{part}/kernel'] = Leaf(fused.kernel, (width, *split), columns)
        table[f'{inner}/{part}/bias'] = Leaf(fused.bias, split, columns)
    table |= _dense(f'{inner}/out', attention.out, (*split, width))
    table |= _norm(f'{name}/LayerNorm_1', block.mlp_norm)
    table |= _dense(f'{name}/MlpBlock_0/Dense_0', block.mlp.hidden)
    return table | _dense(f'{name}/MlpBlock_0/Dense_1', block.mlp.out)


def _embedding(name: str, layer) -> Table:
    shape = (*layer.grid.patch_shape, layer.projection.kernel.shape[-1])
    return _dense(name, layer.projection, shape)


def _named_stacks(fusion, spec, modalities, name: str, suffixes) -> Iterator[tuple[str, Stack]]:
    """Their name of every stack of a fusion, beside it; ValueError for one that they have not."""
    match spec:
        case config.Early() | config.Shared():
            yield name, fusion.stages[0].stack_of(modalities[0])
        case config.Separate() | config.Mid():
            for m in modalities:
                yield f'{name}{suffixes[m]}', fusion.stages[0].stack_of(m)
            if isinstance(spec, config.Mid):
                yield f'{name}_concat', fusion.stages[1].stack_of(modalities[0])
        case _:
            raise ValueError(f"the authors' code has no fusion {spec.kind!r} here")


def _mbt_blocks(model: Classifier) -> Iterator[tuple[str, Block]]:
    first = model.config.modalities[0]
    for m in model.config.modalities:
        for i, block in enumerate(model.encoder.path(m)):
            yield f'Transformer/encoderblock_{i}{"" if m == first else "_spec"}', block


def _stack_blocks(name: str, stack: Stack) -> Iterator[tuple[str, Block]]:
    for i, block in enumerate(stack.blocks):
        yield f'{name}/encoderblock_{i}', block


def _stacks(model: AVMAE | Classifier, suffixes: dict[str, str]) -> dict[str, Stack]:
    settings = model.config
    if isinstance(model, Classifier):
        if not settings.norm_after_pooling or len(settings.modalities) > 1:
            raise ValueError(
                "the authors' classifiers are MBT (fusion='bottleneck') and, of one modality, "
                f'ViT with norm_after_pooling=True; got fusion={settings.fusion.kind!r}, '
                f'modalities={settings.modalities}'
            )
        return {'Transformer': model.encoder.stages[0].stack_of(settings.modalities[0])}
    if isinstance(settings.decoder.fusion, config.Mid):
        raise ValueError("the authors' code has no mid-fusion decoder: got decoder.fusion='mid'")
    parts = (
        (model.encoder, settings.encoder, 'Transformer'),
        (model.decoder, settings.decoder.fusion, 'Decoder'),
    )
    return {
        name: stack
        for fusion, spec, prefix in parts
        for name, stack in _named_stacks(fusion, spec, settings.modalities, prefix, suffixes)
    }


def _is_mbt(model) -> bool:
    return isinstance(model, Classifier) and isinstance(model.config.fusion, config.Bottleneck)


def suffixes_of(model: AVMAE | Classifier, names: Iterable[str]) -> dict[str, str]:
    """What modalities add to names; nothing in their class of a single modality."""
    single = len(model.config.modalities) == 1
    bare = single and isinstance(model, AVMAE) and 'mask_token' in names
    return {m: '' if bare else SUFFIXES[m] for m in model.config.modalities}


def layers_of(model: AVMAE | Classifier, suffixes: dict[str, str]) -> Layers:
    """Their module paths and our layers with the same outputs."""
    if _is_mbt(model):
        blocks = dict(_mbt_blocks(model))
        layers = {'Transformer/encoder_norm': model.encoder.norm, HEAD: model.head}
    else:
        stacks = _stacks(model, suffixes)
        blocks = {n: b for name, stack in stacks.items() for n, b in _stack_blocks(name, stack)}
        layers = {**stacks, **{f'{name}/encoder_norm': s.norm for name, s in stacks.items()}}
    if isinstance(model, AVMAE):
        for m, s in suffixes.items():
            layers[f'decoder_projection{s}'] = model.decoder_projections[m]
    for name, block in blocks.items():
        layers |= {
            name: block,
            f'{name}/LayerNorm_0': block.attention_norm,
            f'{name}/MultiHeadDotProductAttention_0': block.attention,
            f'{name}/Dropout_0': block.attention,  # there is no dropout
            f'{name}/LayerNorm_1': block.mlp_norm,
            f'{name}/MlpBlock_0': block.mlp,
        }
    return layers


def table_of(model: AVMAE | Classifier, suffixes: dict[str, str]) -> Table:
    """All of their parameters that the model has."""
    table: Table = {}
    for name, layer in layers_of(model, suffixes).items():
        if isinstance(layer, Block):
            table |= _block(name, layer)
    if isinstance(model, Classifier):
        return table | _classifier_table(model)
    for name, stack in _stacks(model, suffixes).items():
        table |= _norm(f'{name}/encoder_norm', stack.norm)
    for m, s in suffixes.items():
        embedding, width = model.embeddings[m], model.config.backbone.width
        table |= _embedding(f'embedding{s}', embedding)
        table |= _dense(f'decoder_projection{s}', model.decoder_projections[m])
        table |= _dense(f'output_projection{s}', model.predictions[m])
        tokens = {f'mask_token{s}': model.mask_tokens[m]} | {
            f'{part.title()}_modality_token{s}': vectors[m]
            for part, vectors in model.modality_tokens.items()
        }
        for name, token in tokens.items():
            table |= _whole(name, token, (1, 1, token.shape[0]))
        if model.config.positions == 'learned':
            shape = (1, embedding.grid.num_tokens, width)
            table |= _whole(f'posembed_input{s}/pos_embedding', embedding.positions, shape)
    return table


def _classifier_table(model: Classifier) -> Table:
    if _is_mbt(model):
        embeddings = {VIDEO: 'embedding', AUDIO: 'embedding_spectrogram'}
        table = _norm('Transformer/encoder_norm', model.encoder.norm)
        table |= _dense(HEAD, model.head)
        if model.encoder.bottleneck is not None:
            table |= _whole('bottleneck', model.encoder.bottleneck)
    else:
        (modality,) = model.config.modalities
        embeddings = {modality: 'embedding'}
        table = _norm('encoder_norm', model.encoder.last_norm(modality))
        table |= _dense('output_projection', model.head)
    for m, embedding in model.embeddings.items():
        table |= _embedding(embeddings[m], embedding)
    return table


def _unused(model) -> set[str]:
    """Parameters of theirs without a part in the outputs: bottlenecks that nothing reads."""
    return {'bottleneck'} if _is_mbt(model) and model.encoder.bottleneck is None else set()


def canonical(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same arrays under the one spelling that the table has."""
    result = {}
    for name, value in arrays.items():
        if name.startswith(ALIAS):
            name = SPELLING + name.removeprefix(ALIAS)
        if name in result:
            raise ValueError(f'{name} is there twice, also as {ALIAS}*; leave one out')
        result[name] = value
    return result


def load_parameters(model: AVMAE | Classifier, arrays: dict[str, np.ndarray]) -> Table:
    """Assigns their parameters, 'a/b/c' to array, to all variables of `model`.

    Returns the table that was used.

    Raises:
        ValueError: parameters are missing, unknown or of another shape; names all of them.
    """
    arrays = canonical(arrays)
    table = table_of(model, suffixes_of(model, arrays))
    faults = [f'missing {n} {leaf.shape}' for n, leaf in table.items() if n not in arrays]
    faults += [f'unknown {n}' for n in sorted(arrays.keys() - table.keys() - _unused(model))]
    faults += [
        f'{n} is {tuple(arrays[n].shape)}, the model needs {leaf.shape}'
        for n, leaf in table.items()
        if n in arrays and tuple(arrays[n].shape) != leaf.shape
    ]
    if faults:
        raise ValueError(f'parameters do not fit the configuration: {"; ".join(faults)}')
    parts: dict[int, list[str]] = {}
    for name, leaf in table.items():
        parts.setdefault(id(leaf.variable), []).append(name)
    for names in parts.values():  # one variable at a time: no second copy of a large model
        variable = table[names[0]].variable
        value = np.empty(variable.shape, np.float32)
        for name in names:
            part = value[..., table[name].columns]
            part[...] = np.asarray(arrays[name], np.float32).reshape(part.shape)
        variable.assign(value)
    return table
