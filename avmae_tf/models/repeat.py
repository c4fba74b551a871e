"""Layers one after the other: for XLA a loop, which it compiles once whatever their number.

The variables of equal layers are stacked inside the step, and the first row of layers computes with
the slices of all in turn, so that nothing of it shows in a checkpoint.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
import tf_keras as keras

from avmae_tf.models import loops
from avmae_tf.models.recompute import in_xla, recalling, recording

Row = Sequence[keras.layers.Layer]
State = list[tf.Tensor]
Slot = tuple[keras.layers.Layer, str]  # where a layer holds a variable: its attribute


def repeated(
    step: Callable[..., State],
    rows: Sequence[Row],
    state: State,
    given: tf.Tensor | None = None,
) -> State:
    """`step(state, part, *row)` for each of `rows` of layers, from first to last.

    All rows have the same layers but for their variables, and all states the same shapes. `part`
    is a row's own of `given` [L, ...], which has no gradient, or None. With `rematerialise` the
    loop keeps for the backward pass the state before each row, without it what the layers `keep`
    as well.
    """
    static = all(x.shape.is_fully_defined() for x in state)
    if rows and static and in_xla():
        return _loop(step, rows, state, given)
    for i, row in enumerate(rows):
        state = step(state, None if given is None else given[i], *row)
    return state


def _slots(row: Row) -> list[Slot]:
    """Where the layers of a row hold their variables, in the same order in all rows."""
    layers = [part for layer in row for part in (layer, *layer.submodules)]
    return [
        (layer, name)
        for layer in layers
        for name, value in sorted(vars(layer).items())
        if isinstance(value, tf.Variable)
    ]


def _stacked(rows: Sequence[Row]) -> list[tf.Tensor]:
    """The variables of all rows [L, ...] as their layers compute with them."""
    columns = zip(*map(_slots, rows), strict=True)
    return [
        tf.stack([tf.cast(vars(layer)[name], layer.compute_dtype) for layer, name in column])
        for column in columns
    ]


@contextlib.contextmanager
def _holding(values: list[tuple[Slot, object]]) -> Iterator[None]:
    """Inside, layers hold these values; past Keras, which would track them."""
    before = [vars(layer)[name] for (layer, name), _ in values]
    try:
        for (layer, name), value in values:
            vars(layer)[name] = value
        yield
    finally:
        for ((layer, name), _), value in zip(values, before, strict=True):
            vars(layer)[name] = value


def _loop(
    step: Callable[..., State], rows: Sequence[Row], state: State, given: tf.Tensor | None
) -> State:
    """Two loops, forward and backward."""
    count, size, slots = len(rows), len(state), _slots(rows[0])
    keeping = not rows[0][0].rematerialise

    def one(i, state, weights):
        part = None if given is None else tf.gather(given, i)
        with _holding(list(zip(slots, weights, strict=True))):
            return list(step(list(state), part, *rows[0]))

    @tf.function(autograph=False)
    def forward(i, state, weights):
        """The next state, and what is kept of this row."""
        with recording() if keeping else contextlib.nullcontext([]) as kept:
            result = one(i, state, weights)
        return result, [*state, *kept]

    @tf.custom_gradient
    def all_rows(*inputs):
        state, stacks = list(inputs[:size]), inputs[size:]
        traced = forward.get_concrete_function(
            tf.TensorSpec([], tf.int32),
            [tf.TensorSpec(x.shape, x.dtype) for x in state],
            [tf.TensorSpec(x.shape[1:], x.dtype) for x in stacks],
        )
        weights = loops.arrays(stacks)

        def body(i, state, kept):
            result, row = traced(i, state, loops.read(weights, i))
            return result, loops.write(kept, i, row)

        room = loops.blank(count, traced.structured_outputs[1])
        result, rows_kept = loops.run(body, (state, room), count)
        kept = loops.stacked(rows_kept)

        def gradient(*result_gradients):
            kept_rows, weights = loops.arrays(kept), loops.arrays(stacks)

            def body(step, gradients, weight_gradients):
                i = count - 1 - step
                row, values = loops.read(kept_rows, i), loops.read(weights, i)
                before = row[:size]
                with tf.GradientTape() as tape:
                    tape.watch([before, values])
                    with recalling(row[size:]) if keeping else contextlib.nullcontext():
                        outputs = one(i, before, values)
                zero = tf.UnconnectedGradients.ZERO
                found = tape.gradient(outputs, [*before, *values], gradients, zero)
                return found[:size], loops.write(weight_gradients, i, found[size:])

            room = loops.blank(count, [x[0] for x in stacks])
            found, rows_found = loops.run(body, (list(result_gradients), room), count)
            return [*found, *loops.stacked(rows_found)]

        return result, gradient

    return list(all_rows(*state, *_stacked(rows)))
