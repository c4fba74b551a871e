"""A model fixture replayed: their parameters, inputs and masks through our model."""

import numpy as np
import tensorflow as tf

from avmae_tf.config import AUDIO, VIDEO, Inpainting
from avmae_tf.interop.comparison import (
    Comparison,
    compare,
    compare_all,
    exact,
)
from avmae_tf.interop.fixtures import (
    NAMES,
    Fixture,
    finetune_config,
    inputs_of,
    masks_of,
    pretrain_config,
)
from avmae_tf.interop.gradients import compare_gradients
from avmae_tf.interop.heads import Head
from avmae_tf.interop.recording import Calls, recorded
from avmae_tf.interop.scenic import layers_of, load_parameters, suffixes_of
from avmae_tf.losses.reconstruction import ReconstructionLoss
from avmae_tf.models.avmae import AVMAE, joined
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.models.classifier import mean_logits
from avmae_tf.models.fusion import concatenate
from avmae_tf.models.patches import patchify, standardise

RAW = 'inter/flax/'
DIRECTIONS = {VIDEO: 'video_from_audio', AUDIO: 'audio_from_video'}


def _named(prefix: str, values: dict) -> dict:
    return {f'{prefix}{NAMES[m]}': x for m, x in values.items()}


def _spread(indices, num_tokens: int) -> np.ndarray:
    """Indices [B, M] as a mask [B, N] of ones there."""
    mask = np.zeros([indices.shape[0], num_tokens], np.float32)
    np.put_along_axis(mask, np.asarray(indices), 1.0, axis=1)
    return mask


def raw_outputs(theirs: dict, layers: dict, calls: Calls) -> dict:
    """Our outputs under the module paths of theirs; `/call1` is the second of a shared module."""
    ours = {}
    for name in theirs:
        path, _, number = name.partition('/call')
        outputs = [output for _, output in calls.get(id(layers.get(path)), ())]
        if not outputs:
            continue
        # A norm of ours sees the modalities one by one where theirs sees them all.
        ours[name] = outputs[int(number)] if number else tf.concat(outputs, axis=1)
    return ours


def _tokens(model, inputs) -> tuple[dict, dict]:
    """All tokens without and with positions [B, N, D]; a model embeds the visible ones only."""
    patches = {m: patchify(x, model.config.inputs(m)) for m, x in inputs.items()}
    embedded = {m: model.embeddings[m].projection(x) for m, x in patches.items()}
    tokens = {m: model.embeddings[m](x) for m, x in patches.items()}
    if isinstance(model, AVMAE):
        tokens = model.add_modality('encoder', tokens)
    return embedded, tokens


def _stages(calls: Calls, part) -> tuple[dict, dict]:
    """What an encoder or decoder was given and gave back."""
    ((given, result),) = calls[id(part)]
    return given, result


def replay_pretraining(fixture: Fixture) -> list[Comparison]:
    """Every output of a `mae_*` or `inpaint_*` file."""
    settings, inputs, masks = pretrain_config(fixture), inputs_of(fixture), masks_of(fixture)
    model = build_avmae(settings)
    parameters = fixture.group('params/')
    load_parameters(model, parameters)
    layers = layers_of(model, suffixes_of(model, parameters))
    loss = ReconstructionLoss(settings)
    with recorded([*layers.values(), model.encoder, model.decoder]) as calls:
        outcome = model(inputs, masks)
    embedded, tokens = _tokens(model, inputs)
    encoder_input, encoder_output = _stages(calls, model.encoder)
    decoder_input, decoder_output = _stages(calls, model.decoder)
    patches = model.patchify(inputs)
    losses = loss.by_modality(outcome)
    named = settings.standardise_targets
    ours = {
        **_named('inter/embed/', embedded),
        **_named('inter/tokens/', tokens),
        **_named('inter/encoder_input/', encoder_input),
        **_named('inter/encoder_output/', encoder_output),
        **_named('inter/decoder_input/', decoder_input),
        **_named('inter/decoder_output/', decoder_output),
        **_named('pred/', {m: model.predictions[m](x) for m, x in decoder_output.items()}),
        **_named('targets/', {m: standardise(x) if named else x for m, x in patches.items()}),
        **_named('loss/', losses),
        **_named('loss_sum_over_features/', _losses(settings, outcome, mean_over_patch=False)),
        **_named('loss_weight/', {m: settings.loss_weight(m) for m in losses}),
        'loss/total': loss.total(losses),
    }
    if not named:
        target = {m: standardise(x) for m, x in outcome.target.items()}
        outcome = outcome._replace(target=target)
    ours |= _named('loss_standardised/', loss.by_modality(outcome))
    for m, mask in masks.items():
        name, count = f'mask/{NAMES[m]}', settings.inputs(m).num_tokens
        ours[f'{name}/encoder_mask'] = _spread(mask.masked, count)
        ours[f'{name}/loss_mask'] = _spread(outcome.indices[m], count)
    raw = fixture.group(RAW)
    given = ('params/', 'inputs/', RAW)
    outputs = {
        name: value
        for name, value in fixture.arrays.items()
        if not name.startswith(given) and not name.endswith('_indices')
    }
    found = compare_all(ours, outputs)
    found += compare_all(raw_outputs(raw, layers, calls), raw, prefix=RAW)
    return found + _masks(settings, masks) + _reconstructed(settings, model, fixture, masks)


def _losses(settings, outcome, **changes):
    return ReconstructionLoss(settings.replace(**changes)).by_modality(outcome)


def _masks(settings, masks) -> list[Comparison]:
    """Whether our masks hide as many tokens, and whole tubes where theirs do."""
    found = []
    for m, mask in masks.items():
        grid, name = settings.inputs(m), f'mask/{NAMES[m]}'
        count = settings.masking.num_masked(m, grid)
        found.append(exact(f'{name} (number masked)', mask.masked.shape[1] == count))
        steps = settings.masking.num_steps(m, grid)
        if steps > 1:
            spread = _spread(mask.masked, grid.num_tokens).reshape([len(mask.masked), steps, -1])
            found.append(exact(f'{name} (tubes)', bool((spread == spread[:, :1]).all())))
    return found


def _reconstructed(settings, model, fixture, masks) -> list[Comparison]:
    """What training computes: predictions of reconstructed tokens only, of one direction only."""
    weighted = [m for m in settings.modalities if settings.loss_weight(m)]
    one_way = isinstance(settings.objective, Inpainting) and len(weighted) == 1
    patches = model.patchify(inputs_of(fixture))
    encoded = model.encode(patches, masks)
    objective = Inpainting(direction=DIRECTIONS[weighted[0]]) if one_way else settings.objective
    outcome = joined(
        [model.reconstruct(*part, patches, encoded, masks) for part in objective.parts]
    )
    loss = ReconstructionLoss(settings)
    note = 'of this direction alone' if one_way else 'of the reconstructed tokens alone'
    found = [
        compare(
            f'pred/{NAMES[m]} ({note})',
            x,
            np.take_along_axis(
                fixture.arrays[f'pred/{NAMES[m]}'], outcome.indices[m].numpy()[..., None], axis=1
            ),
        )
        for m, x in outcome.predicted.items()
    ]
    total = loss.total(loss.by_modality(outcome))
    return [*found, compare(f'loss/total ({note})', total, fixture.arrays['loss/total'])]


def replay_finetuning(fixture: Fixture) -> list[Comparison]:
    """Every output of an `mbt_*` or `vivit_*` file."""
    settings, inputs = finetune_config(fixture), inputs_of(fixture)
    head = Head.of(fixture)
    model = build_classifier(settings, {'label': head.num_outputs})
    parameters = fixture.group('params/')
    table = load_parameters(model, parameters)
    layers = layers_of(model, suffixes_of(model, parameters))
    with tf.GradientTape() as tape, recorded([*layers.values(), model.encoder]) as calls:
        logits = model(inputs)
        loss = head.training_loss(logits)
    embedded, tokens = _tokens(model, inputs)
    _, encoded = _stages(calls, model.encoder)
    ours = {
        **_named('inter/embed/', embedded),
        **_named('inter/tokens/', tokens),
        **_named('logits_train/', logits),
        **head.outputs(mean_logits(logits), loss),
        'logits_eval': mean_logits(logits),
        'inter/encoder_output_concat': concatenate(encoded),
    }
    if len(logits) == 1:
        (modality,) = logits
        ours['logits'] = logits[modality]
        ours['inter/encoder_output'] = encoded[modality]
        ours['inter/pooled_normed'] = model.embed(inputs)[modality]
    raw, gradients = fixture.group(RAW), fixture.group('grads/')
    given = ('params/', 'inputs/', 'labels', 'joint_labels', 'grads/', RAW)
    outputs = {n: x for n, x in fixture.arrays.items() if not n.startswith(given)}
    used = outputs.pop('bottleneck_used', None)
    found = compare_all(ours, outputs)
    if used is not None:
        found.append(Comparison('bottleneck_used', None, note='whether there are two modalities'))
    found += compare_all(raw_outputs(raw, layers, calls), raw, prefix=RAW)
    return found + compare_gradients(tape, loss, table, gradients)
