"""What the layers of a model were given and gave back, without a hook in the models."""

import contextlib
from collections.abc import Iterable, Iterator

import tf_keras as keras

Calls = dict[int, list[tuple]]  # id of a layer: (first argument, output) of each call


@contextlib.contextmanager
def recorded(layers: Iterable[keras.layers.Layer]) -> Iterator[Calls]:
    """Records the calls of `layers` that are made inside, eagerly."""
    unique = {id(layer): layer for layer in layers}
    calls: Calls = {key: [] for key in unique}

    def recording(key, call):
        def wrapped(inputs, *args, **kwargs):
            output = call(inputs, *args, **kwargs)
            calls[key].append((inputs, output))
            return output

        return wrapped

    for key, layer in unique.items():
        layer.call = recording(key, layer.call)
    try:
        yield calls
    finally:
        for layer in unique.values():
            del layer.call
