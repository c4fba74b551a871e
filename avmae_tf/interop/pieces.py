"""Fixtures of single pieces: position tables, patches, the training recipe, the warm start."""

import json
import math
import re

import numpy as np
import tensorflow as tf

from avmae_tf.config import AUDIO, VIDEO, BackboneSpec, ScheduleSpec
from avmae_tf.data.augment import mix
from avmae_tf.interop.comparison import Comparison, compare, exact
from avmae_tf.interop.fixtures import MODALITY_OF, Fixture, FreeGrid
from avmae_tf.interop.mapping import check_mapping, number_of_blocks, small_classifier
from avmae_tf.interop.scenic import SUFFIXES, table_of
from avmae_tf.losses.classification import smooth_labels
from avmae_tf.models.blocks import Block, gelu_then_matmul, layer_norm
from avmae_tf.models.classifier import mean_over_views
from avmae_tf.models.patches import patchify, sinusoid, standardise
from avmae_tf.training.optimizers import layerwise_multipliers, make_schedule


def check_positions(fixture: Fixture) -> list[Comparison]:
    """Rows and checksums of the 1-D tables."""
    report = []
    for name, theirs in fixture.arrays.items():
        kind, size, what = name.split('/')
        if kind != 'sincos1d':
            report.append(Comparison(name, None, note='no released configuration uses it'))
            continue
        num_positions, width = map(int, size.split('x'))
        table = sinusoid(num_positions, width)
        exactly = table.astype(np.float64)
        rows = fixture.arrays.get(f'{kind}/{size}/rows')
        weights = (np.arange(num_positions) + 1) / num_positions
        ours = {
            'full': table,
            'rows': rows,
            'values': table[rows] if rows is not None else None,
            'sum': exactly.sum(),
            'sum_sq': (exactly**2).sum(),
            'row_weighted_sum': (exactly * weights[:, None]).sum(),
        }
        if what not in ours:
            report.append(Comparison(name, None, note='not known here'))
        elif what != 'rows':
            report.append(compare(name, ours[what], theirs))
    return report


def _grid(name: str, shape, patch_hwt) -> FreeGrid:
    height, width, frames = patch_hwt
    video = len(shape) == 5
    patch = (frames, height, width, shape[-1]) if video else (height, width, shape[-1])
    return FreeGrid(extent=shape[1:], patch=patch)


def check_patches(fixture: Fixture) -> list[Comparison]:
    """Where each value goes, and targets standardised patch by patch."""
    report = []
    for name, theirs in fixture.arrays.items():
        folder, _, what = name.rpartition('/')
        source = {'patches_index': 'input_index', 'raw': 'input', 'standardised': 'input'}
        if what in source:
            given = fixture.arrays[f'{folder}/{source[what]}']
            patches = patchify(given, _grid(folder, given.shape, fixture.config['patch_hwt']))
            ours = standardise(patches) if what == 'standardised' else patches
            report.append(compare(name, ours, theirs))
        elif what not in source.values():
            report.append(Comparison(name, None, note='no released configuration uses it'))
    return report


def _schedules(fixture: Fixture) -> list[Comparison]:
    report = []
    names = [n.removesuffix('/config') for n in fixture.arrays if re.fullmatch('lr/.+/config', n)]
    for name in names:
        settings = json.loads(str(fixture.arrays[f'{name}/config']))
        total = settings['steps_per_cycle']
        if settings.get('alpha'):
            report.append(Comparison(name, None, note='ours ends at zero: alpha must be 0'))
            continue
        schedule = make_schedule(
            ScheduleSpec(
                learning_rate=settings['base_learning_rate'],
                reference_batch_size=1,
                batch_size=1,
                epochs=total,
                warmup_epochs=settings['warmup_steps'],
            ),
            num_examples=1,
        )
        steps = fixture.arrays[f'{name}/steps']
        trained = steps < total  # the step after the last is never taken
        ours = [float(schedule(int(step))) for step in steps[trained]]
        report.append(compare(f'{name}/values', ours, fixture.arrays[f'{name}/values'][trained]))
    return report


def _layerwise(fixture: Fixture) -> list[Comparison]:
    report = []
    for name in {n.rpartition('/')[0] for n in fixture.arrays if n.startswith('layerwise/')}:
        names = [str(n) for n in fixture.arrays[f'{name}/names']]
        decay, num_layers = float(name.rpartition('decay')[2]), number_of_blocks(names)
        present = {VIDEO: 'embedding/kernel', AUDIO: 'embedding_spectrogram/kernel'}
        model = small_classifier(num_layers, [m for m, n in present.items() if n in names])
        multipliers = {
            id(v): m
            for v, m in zip(
                model.trainable_variables, layerwise_multipliers(model, decay), strict=True
            )
        }
        table = table_of(model, SUFFIXES)
        known = [i for i, n in enumerate(names) if n in table]
        unread = {n for n in names if n not in table} - {'bottleneck'}
        report.append(exact(f'{name}/names', not unread and len(known) == len(table)))
        ours = np.array([multipliers[id(table[names[i]].variable)] for i in known])
        found = {'multiplier': ours}
        if decay != 1.0:  # else the multipliers do not tell
            found['layer_id'] = num_layers + 1 - np.log(ours) / math.log(decay)
        for what, values in found.items():
            theirs = fixture.arrays[f'{name}/{what}'][known]
            report.append(compare(f'{name}/{what}', values, theirs))
    return report


def _stochastic_depth(fixture: Fixture) -> list[Comparison]:
    report = []
    for name, theirs in fixture.group('stochastic_depth/').items():
        rate, num_layers = re.fullmatch(r'rate(.+)_layers(\d+)', name).groups()
        spec = BackboneSpec(width=2, num_layers=int(num_layers), num_heads=1, mlp_width=2)
        blocks = [Block(spec, i, stochastic_depth=float(rate)) for i in range(spec.num_layers)]
        ours = [block.drop_rate for block in blocks]
        report.append(compare(f'stochastic_depth/{name}', ours, theirs))
    return report


def _clipping(fixture: Fixture) -> list[Comparison]:
    given = fixture.group('clip/in/')
    report = []
    for name, theirs in fixture.group('clip/').items():
        match = re.fullmatch(r'out_max(.+?)/(.+)', name)
        if match:
            clipped, _ = tf.clip_by_global_norm(list(given.values()), float(match[1]))
            ours = dict(zip(given, clipped, strict=True))[match[2]]
            report.append(compare(f'clip/{name}', ours, theirs))
    return report


def _mixup(fixture: Fixture) -> list[Comparison]:
    given = fixture.group('mixup_per_modality/')
    report = []
    for name, weight in zip(MODALITY_OF, given.get('weights_rgb_spec', ()), strict=False):
        for ours, theirs in ((f'in/{name}', f'out/{name}'), ('label_in', f'label_out/{name}')):
            mixed = mix(tf.constant(given[ours]), weight)
            report.append(compare(f'mixup_per_modality/{theirs}', mixed, given[theirs]))
    return report


def check_recipe(fixture: Fixture) -> list[Comparison]:
    """Schedules, multipliers, and the small functions of blocks and losses."""
    x = fixture.arrays
    report = _schedules(fixture) + _layerwise(fixture) + _stochastic_depth(fixture)
    gelu = gelu_then_matmul(tf.constant(x['gelu/x'])[:, None], tf.ones([1, 1]))
    report.append(compare('gelu/y', gelu[:, 0], x['gelu/y']))
    scale, offset = (tf.constant(x[f'layernorm/{n}']) for n in ('scale', 'bias'))
    norm = layer_norm(tf.constant(x['layernorm/x']), scale, offset)
    report.append(compare('layernorm/y', norm, x['layernorm/y']))
    for name, theirs in fixture.group('label_smoothing/out_').items():
        ours = smooth_labels(tf.constant(x['label_smoothing/in']), float(name))
        report.append(compare(f'label_smoothing/out_{name}', ours, theirs))
    report += _clipping(fixture) + _mixup(fixture)
    views = tf.constant(x['multiview/logits_4views'])
    mean = mean_over_views(tf.identity, views, tf.TensorSpec(views.shape[1:]))
    theirs = x['multiview/average_used_by_release']
    report.append(compare('multiview/average_used_by_release', mean, theirs))
    optional = 'multiview/average_of_probabilities_optional'
    if optional in x:
        note = 'logits are averaged, as in the release'
        report.append(Comparison(optional, None, note=note))
    return report


PIECES = {  # an array that only this piece has, and its check
    'sincos1d/': check_positions,
    'video/patches_index': check_patches,
    'lr/': check_recipe,
    'mapping/': check_mapping,
}


def check_piece(fixture: Fixture) -> list[Comparison] | None:
    """The report on a file of pieces; None if it is none of them."""
    for prefix, check in PIECES.items():
        if any(name.startswith(prefix) for name in fixture.arrays):
            return check(fixture)
    return None
