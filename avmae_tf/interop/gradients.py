"""Gradients and one step of the optimizer beside those of the authors' model."""

import re

import numpy as np
import tensorflow as tf

from avmae_tf.config import Adam
from avmae_tf.interop.comparison import GRADIENT_TOLERANCE, TINY, Comparison, compare
from avmae_tf.interop.fixtures import Fixture, inputs_of, masks_of, pretrain_config, read_base
from avmae_tf.interop.scenic import Table, load_parameters
from avmae_tf.losses.reconstruction import ReconstructionLoss
from avmae_tf.models.builders import build_avmae
from avmae_tf.training.optimizers import make_optimizer, shrink_kernels

DECAYED = 'after_adam_and_decay'
ROUNDING = 1e-5  # of the largest gradient: smaller ones are compared with this


def compare_gradients(
    tape: tf.GradientTape, loss: tf.Tensor, table: Table, theirs: dict[str, np.ndarray]
) -> list[Comparison]:
    """Gradients by their names.

    A gradient that is zero but for rounding is judged beside the largest of all. So is a bias of
    the keys, which shifts all scores of a query alike, beside that of the queries.
    """
    if not theirs:
        return []
    variables = list({id(leaf.variable): leaf.variable for leaf in table.values()}.values())
    gradients = tape.gradient(loss, variables, unconnected_gradients='zero')
    values = {
        id(v): tf.convert_to_tensor(g).numpy() for v, g in zip(variables, gradients, strict=True)
    }

    largest = max(np.abs(value).max() for value in theirs.values())

    def floor(name):
        beside = theirs.get(name.replace('/key/bias', '/query/bias'), 0.0)
        return max(np.abs(beside).max(), ROUNDING * largest, TINY)

    return [
        compare(
            f'grads/{name}',
            table[name].of(values[id(table[name].variable)]),
            value,
            tolerance=GRADIENT_TOLERANCE,
            floor=floor(name),
        )
        if name in table
        else Comparison(f'grads/{name}', None, note='not known here')
        for name, value in theirs.items()
    ]


def replay_gradients(fixture: Fixture) -> list[Comparison]:
    """A `*__grads` file: gradients of a pretraining loss, and one step of Adam."""
    base = read_base(fixture)
    settings = pretrain_config(base)
    model = build_avmae(settings)
    table = load_parameters(model, base.group('params/'))
    losses = ReconstructionLoss(settings)
    with tf.GradientTape(persistent=True) as tape:
        loss = losses.total(losses.by_modality(model(inputs_of(base), masks_of(base))))
    found = [compare('loss/total', loss, fixture.arrays['loss/total'])]
    found += compare_gradients(tape, loss, table, fixture.group('grads/'))
    gradients = tape.gradient(loss, model.trainable_variables, unconnected_gradients='zero')
    return found + _after_adam(fixture, model, table, gradients)


def _after_adam(fixture, model, table, gradients) -> list[Comparison]:
    """`after_adam_lr<rate>/<name>`, and kernels under `after_adam_and_decay<decay>/`."""
    matches = (re.match(r'after_adam_lr(.+?)/', name) for name in fixture.arrays)
    rates = {float(match[1]) for match in matches if match}
    if not rates:
        return []
    if len(rates) > 1:
        raise ValueError(f'{fixture.path}: must hold one step of Adam, got the rates {rates}')
    (rate,) = rates
    optimizer = make_optimizer(Adam(), rate)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    found = _updated(fixture, table, 'after_adam_lr')
    matches = (re.match(f'{DECAYED}(.+?)/', name) for name in fixture.arrays)
    for decay in {match[1] for match in matches if match}:
        before = [v.numpy() for v in model.trainable_variables]
        shrink_kernels(model.trainable_variables, rate * float(decay))
        found += _updated(fixture, table, f'{DECAYED}{decay}/')
        for variable, value in zip(model.trainable_variables, before, strict=True):
            variable.assign(value)
    return found


def _updated(fixture, table, prefix: str) -> list[Comparison]:
    """Compares parameters after the step; Adam magnifies the rounding of the smallest gradients."""
    names = [(n, n.partition('/')[2]) for n in fixture.arrays if n.startswith(prefix)]
    return [
        compare(
            name,
            table[ours].of(table[ours].variable.numpy()),
            fixture.arrays[name],
            tolerance=GRADIENT_TOLERANCE,
        )
        for name, ours in names
    ]
