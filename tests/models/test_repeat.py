"""What XLA is given is a loop over layers: the same numbers, and compiled once for any depth."""

import re

import numpy as np
import pytest
import tensorflow as tf
from combinations import drawn

from avmae_tf.models import repeat
from avmae_tf.models.blocks import Block, Stack
from avmae_tf.models.builders import precision
from avmae_tf.models.depth import kept_branches
from avmae_tf.models.draws import fold_in, uniform
from avmae_tf.models.fusion import build_fusion


@pytest.mark.parametrize('rematerialise', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_loop_gives_the_gradients_of_the_layers(finetune_config, rematerialise, monkeypatch):
    """Stochastic depth drops the same branches: it is drawn by the number of the layer."""
    config, seed = finetune_config.replace(stochastic_depth=0.5), tf.constant([3, 4])
    blocks = {'stochastic_depth': 0.5, 'rematerialise': rematerialise}
    fusion = build_fusion(config.fusion, config.backbone, config.modalities, name='f', **blocks)
    tokens = {
        m: tf.random.stateless_normal([4, n, config.backbone.width], [n, 0])
        for m, n in (('video', 5), ('audio', 3))
    }
    fusion(tokens)
    drawn(fusion, stddev=0.2)

    def gradients(tokens):
        with tf.GradientTape() as tape:
            tape.watch(tokens)
            outputs = fusion(tokens, seed=seed)
            total = tf.add_n([tf.reduce_sum(x**2) for x in outputs.values()])
        return total, tape.gradient(total, [*tokens.values(), *fusion.trainable_variables])

    names = [v.name for v in fusion.variables]
    looped = tf.function(gradients, autograph=False, jit_compile=True)(tokens)
    assert [v.name for v in fusion.variables] == names
    monkeypatch.setattr(repeat, 'in_xla', lambda: False)
    # XLA draws other numbers, so it has to compile the layers one by one as well.
    plain = tf.function(gradients, autograph=False, jit_compile=True)(tokens)
    assert float(looped[0]) == pytest.approx(float(plain[0]), rel=1e-5)
    for a, b in zip(looped[1], plain[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max() + 1e-6)


@pytest.fixture
def compiled(pretrain_config):
    """The optimized HLO of the gradients of a stack of so many layers."""

    def compile_(num_layers: int, policy: str = 'float32', **options) -> str:
        spec = pretrain_config.backbone.replace(num_layers=num_layers)
        with precision(policy):
            stack = Stack([Block(spec, i, **options) for i in range(num_layers)])
            x = tf.zeros([2, 5, spec.width])
            stack(x)

        @tf.function(jit_compile=True, autograph=False)
        def gradients(x):
            with tf.GradientTape() as tape:
                y = tf.reduce_sum(stack(x))
            return tape.gradient(y, stack.trainable_variables)

        return gradients.experimental_get_compiler_ir(x)('optimized_hlo')

    return compile_


def products(hlo: str) -> int:
    return len(re.findall(r' dot\(', hlo))


def test_what_is_compiled_does_not_grow_with_the_depth(compiled):
    few, many = compiled(3), compiled(9)
    assert products(few) == products(many)
    # What is left of a layer: its 12 variables, stacked, and their gradients, sliced.
    each = (many.count(' = ') - few.count(' = ')) / 6
    assert each <= 12 * 8


def test_what_is_kept_is_not_computed_again(compiled):
    forward, backward = 6, 2 * 4 + 4
    assert products(compiled(3)) == forward + backward
    # All but the last product of the MLP: nothing needs what it gives.
    assert products(compiled(3, rematerialise=True)) == forward + forward - 1 + backward


def test_half_precision_is_looped_over_too(compiled):
    hlo = compiled(3, policy='mixed_bfloat16')
    assert re.search(r'bf16\[3,32,96\]', hlo), 'stacked in the precision that is computed in'


def blocks_that_drop(spec) -> list[Block]:
    return [Block(spec, i, stochastic_depth=0.5) for i in range(3)]


def test_a_branch_is_dropped_by_the_number_of_its_layer_and_its_own(pretrain_config):
    spec, seeds = pretrain_config.backbone.replace(num_layers=3), tf.constant([[3, 4], [5, 6]])
    rows = list(zip(blocks_that_drop(spec), blocks_that_drop(spec), strict=True))
    kept = kept_branches(rows, tf.unstack(seeds), tf.zeros([4, 5, spec.width]))
    assert kept.shape == [3, 2, 2, 4, 1, 1] and np.all(kept[0])
    for layer, column, branch in np.ndindex(*kept.shape[:3]):
        noise = uniform(fold_in(fold_in(seeds[column], layer), branch), [4, 1, 1])
        np.testing.assert_array_equal(kept[layer, column, branch], noise >= 0.25 * layer)


def test_what_is_dropped_is_drawn_in_one_loop_not_again_in_the_backward_pass(pretrain_config):
    spec, seed = pretrain_config.backbone.replace(num_layers=3), tf.constant([3, 4])
    stack, x = Stack(blocks_that_drop(spec)), tf.zeros([2, 5, spec.width])
    stack(x)

    def gradients(x):
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(stack(x, seed=seed))
        return tape.gradient(y, stack.trainable_variables)

    def draws(function) -> int:
        """How often numbers are drawn."""
        compiled = tf.function(function, jit_compile=True, autograph=False)
        return compiled.experimental_get_compiler_ir(x)('hlo').count(' rng-bit-generator(')

    once = draws(lambda x: uniform(fold_in(fold_in(seed, x.shape[0]), 1), [2, 1, 1]))
    assert draws(gradients) == once > 0
