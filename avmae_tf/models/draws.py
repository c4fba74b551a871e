"""Random numbers of the clips of a batch: a clip's own, on whichever device and in whichever part.

A seed [2] stands for all clips of a batch. `Draws` are of some of them, on one device or in one
microbatch, and give each the numbers that it would have got among all.

Shapes: B clips.
"""

from typing import NamedTuple

import tensorflow as tf

from avmae_tf.config import RANDOM_ALGORITHM


class Draws(NamedTuple):
    """What some clips of a batch draw."""

    seed: tf.Tensor  # [2], of the whole batch
    rows: tf.Tensor  # int32 [B], the places of these clips in it
    total: int  # clips of the whole batch


Seed = tf.Tensor | Draws | None  # None stands for inference


def fold_in(seed: Seed, number: int | tf.Tensor) -> Seed:
    """Another seed for each `number`; None stays None."""
    if isinstance(seed, Draws):
        return with_seed(seed, fold_in(seed.seed, number))
    if seed is None:
        return None
    return tf.random.experimental.stateless_fold_in(seed, number, alg=RANDOM_ALGORITHM)


def with_seed(seed: tf.Tensor | Draws, other: tf.Tensor) -> tf.Tensor | Draws:
    """`other` [2] in the place of the seed of the batch."""
    return seed._replace(seed=other) if isinstance(seed, Draws) else other


def of_batch(seed: Seed) -> tf.Tensor | None:
    """The seed [2] of the whole batch, for what all of its clips share."""
    return seed.seed if isinstance(seed, Draws) else seed


def uniform(seed: tf.Tensor | Draws, shape: list) -> tf.Tensor:
    """Numbers in [0, 1) for each clip, [B, ...]."""
    if isinstance(seed, Draws):
        return tf.gather(uniform(seed.seed, [seed.total, *shape[1:]]), seed.rows)
    return tf.random.stateless_uniform(shape, seed, alg=RANDOM_ALGORITHM)
