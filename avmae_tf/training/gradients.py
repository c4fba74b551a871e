"""Gradients of a batch, a microbatch at a time: a large batch in the memory of a small one.

Shapes: B clips of a replica, M microbatches.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from avmae_tf.models.draws import Draws
from avmae_tf.training.tasks import Batch, Scalars, Task


def microbatches(size: int, count: int) -> np.ndarray:
    """Places [M, B / M] in a batch of the clips of each microbatch.

    Mixup mixes the first clip of a batch with its last, the second with the last but one. Such
    pairs stay together, and opposite each other, where microbatches are even.
    """
    opposite = np.stack([np.arange(size), np.arange(size)[::-1]], axis=1)
    return np.sort(opposite.ravel()[:size].reshape(count, -1), axis=1)


def mean_gradients(
    task: Task,
    model: Any,
    variables: list[tf.Variable],
    batch: Batch,
    draws: Draws,
    count: int = 1,
) -> tuple[Scalars, list[tf.Tensor]]:
    """The scalars of `task` and the gradients of its loss, means over the clips of `batch`.

    They are those of the whole batch at once, but for rounding: every clip draws what it would
    have drawn there. `count` microbatches are computed one after the other, in one graph.
    """

    def part(clips, draws):
        with tf.GradientTape() as tape:
            loss, scalars = task.train_loss(model, clips, draws)
            loss /= count
        gradients = tape.gradient(loss, variables, unconnected_gradients='zero')
        return (
            {name: value / count for name, value in scalars.items()},
            [tf.convert_to_tensor(gradient) for gradient in gradients],
        )

    if count == 1:
        return part(batch, draws)
    rows = tf.constant(microbatches(draws.rows.shape[0], count), tf.int32)

    def add(number, sums):
        own = tf.gather(rows, number)
        clips = {name: tf.gather(x, own) for name, x in batch.items()}
        more = part(clips, draws._replace(rows=tf.gather(draws.rows, own)))
        return number + 1, tf.nest.map_structure(tf.add, sums, more)

    nothing = {n: tf.zeros([]) for n in task.train_names}, [tf.zeros(v.shape) for v in variables]
    _, sums = tf.while_loop(
        lambda number, sums: number < count,
        add,
        (tf.constant(0), nothing),
        parallel_iterations=1,  # two at once would need the memory of two
        maximum_iterations=count,
    )
    return sums
