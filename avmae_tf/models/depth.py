"""Stochastic depth [43]: which clips go without which branches of the blocks.

Shapes: L rows of C blocks, B clips.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from avmae_tf.models.draws import Seed, fold_in, of_batch, uniform, with_seed
from avmae_tf.models.loops import mapped


def kept_branches(
    rows: Sequence[Sequence[Any]], seeds: Sequence[Seed], x: tf.Tensor
) -> tf.Tensor | None:
    """Stochastic depth [43]: whether each clip of `x` has a branch, bool [L, C, 2, B, 1, 1].

    Of both branches of the C blocks in each of L `rows`, whose columns have `seeds`; None at
    inference, or where nothing is ever dropped. All are drawn in one loop: for XLA, a draw by
    itself is a thousand instructions.
    """
    blocks = [block for row in rows for block in row]
    if seeds[0] is None or not any(block.drop_rate for block in blocks):
        return None
    columns = tf.stack([of_batch(seed) for seed in seeds])
    indices, rates = (tf.constant([vars(b)[n] for b in blocks]) for n in ('index', 'drop_rate'))
    batch = x.shape[0] or tf.shape(x)[0]

    def branch(place):
        number = place // 2
        seed = fold_in(with_seed(seeds[0], columns[number % len(seeds)]), indices[number])
        return uniform(fold_in(seed, place % 2), [batch, 1, 1]) >= rates[number]

    spec = tf.TensorSpec([x.shape[0], 1, 1], tf.bool)
    kept = mapped(branch, tf.range(2 * len(blocks)), spec)
    return tf.reshape(kept, [len(rows), len(seeds), 2, -1, 1, 1])


def nth(kept: tf.Tensor | None, number: int | slice) -> tf.Tensor | None:
    """A part of what `kept_branches` gives, None of None."""
    return None if kept is None else kept[number]


def dropped(branch: tf.Tensor, kept: tf.Tensor | None) -> tf.Tensor:
    """A branch where it is kept, not rescaled, and 0 elsewhere."""
    return branch if kept is None else branch * tf.cast(kept, branch.dtype)
