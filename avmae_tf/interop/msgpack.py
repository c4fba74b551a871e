"""Checkpoint files of flax: one MessagePack document of nested maps whose leaves are arrays.

Reads what flax's `msgpack_serialize` writes, and no more of MessagePack.
"""

import contextlib
import mmap
import os
import struct

import ml_dtypes
import numpy as np

from avmae_tf.storage import is_remote, open_binary

ARRAY, SCALAR = 1, 3  # extension types: (shape, dtype name, bytes in C order, little-endian)
CHUNKED = '__msgpack_chunked_array__'  # a map that stands for an array above 2^30 bytes
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = dict(zip(range(0xCA, 0xD4), 'f d B H I Q b h i q'.split(), strict=True))
_SIZED = {  # first byte: what follows, and the width of its length
    **{0xC4 + i: ('bytes', width) for i, width in enumerate('BHI')},
    **{0xC7 + i: ('extension', width) for i, width in enumerate('BHI')},
    **{0xD9 + i: ('text', width) for i, width in enumerate('BHI')},
    **{0xDC + i: ('list', width) for i, width in enumerate('HI')},
    **{0xDE + i: ('map', width) for i, width in enumerate('HI')},
}
MAX_DEPTH = 64  # of maps in maps; those of the authors have some ten
_FIXED_EXTENSIONS = {0xD4 + i: 2**i for i in range(5)}


class _Reader:
    """One pass over a buffer; arrays are views of it."""

    def __init__(self, buffer, depth: int = 0):
        self.buffer = memoryview(buffer)
        self.position = 0
        self.depth = depth

    def take(self, size: int) -> memoryview:
        end = self.position + size
        if end > len(self.buffer):
            raise ValueError(f'ends after {len(self.buffer)} bytes, in the middle of a value')
        part, self.position = self.buffer[self.position : end], end
        return part

    def number(self, code: str):
        return struct.unpack(f'>{code}', self.take(struct.calcsize(code)))[0]

    def value(self):
        first = self.number('B')
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 0x100
        if first < 0xC0:
            kind, size = next(
                (kind, first - start)
                for kind, start in (('text', 0xA0), ('list', 0x90), ('map', 0x80))
                if first >= start
            )
            return getattr(self, kind)(size)
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            return self.number(_NUMBERS[first])
        if first in _FIXED_EXTENSIONS:
            return self.extension(_FIXED_EXTENSIONS[first])
        if first not in _SIZED:
            raise ValueError(f'byte {first:#x} at {self.position - 1} is not MessagePack')
        kind, width = _SIZED[first]
        return getattr(self, kind)(self.number(width))

    def bytes(self, size: int):
        return self.take(size)

    def text(self, size: int) -> str:
        return str(self.take(size), 'utf-8')

    @contextlib.contextmanager
    def deeper(self):
        if self.depth == MAX_DEPTH:
            raise ValueError(f'nests deeper than {MAX_DEPTH} levels at byte {self.position}')
        self.depth += 1
        yield
        self.depth -= 1

    def list(self, size: int) -> list:
        with self.deeper():
            return [self.value() for _ in range(size)]

    def map(self, size: int):
        pairs = {}
        with self.deeper():
            for _ in range(size):
                key = self.value()
                pairs[key] = self.value()
        return _join_chunks(pairs) if CHUNKED in pairs else pairs

    def extension(self, size: int):
        kind, inner = self.number('b'), _Reader(self.take(size), self.depth)
        if kind not in (ARRAY, SCALAR):
            raise ValueError(f'extension type {kind} is not an array')
        with inner.deeper():
            shape, name, data = inner.value()
        dtype = ml_dtypes.bfloat16 if name == 'bfloat16' else np.dtype(name).newbyteorder('<')
        array = np.frombuffer(data, dtype).reshape(shape)
        return array if kind == ARRAY else array[()]


def _join_chunks(pairs: dict) -> np.ndarray:
    shape, chunks = (
        [pairs[name][str(i)] for i in range(len(pairs[name]))] for name in ('shape', 'chunks')
    )
    return np.concatenate([chunk.reshape(-1) for chunk in chunks]).reshape(shape)


def _contents(path: str) -> bytes | mmap.mmap:
    """A file here is not read but mapped."""
    with open_binary(path) as f:
        if is_remote(path) or not os.path.getsize(path):
            return f.read()
        return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


def read_checkpoint(path: str) -> dict:
    """The nested maps of a checkpoint file.

    Raises:
        ValueError: the file is not there, is cut short, or not of this kind.
    """
    try:
        buffer = _contents(path)
    except OSError as error:
        raise ValueError(f'{path}: {error.strerror}; give a flax checkpoint file') from None
    if not buffer:
        raise ValueError(f'{path}: is empty; give a flax checkpoint file')
    reader = _Reader(buffer)
    try:
        tree = reader.value()
        if not isinstance(tree, dict):
            raise ValueError(f'holds a {type(tree).__name__}, not maps of arrays')
        if reader.position < len(reader.buffer):
            raise ValueError(f'goes on after its end at byte {reader.position}')
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise ValueError(
            f'{path}: {error}; give a whole flax checkpoint file, such as the `checkpoint` that '
            'the authors publish'
        ) from error
    return tree


def flatten(tree: dict, prefix: str = '') -> dict[str, np.ndarray]:
    """Nested maps to {'a/b/c': array}."""
    flat = {}
    for name, value in tree.items():
        path = f'{prefix}{name}'
        flat |= flatten(value, f'{path}/') if isinstance(value, dict) else {path: value}
    return flat


def parameters(tree: dict, path: str = 'checkpoint') -> dict[str, np.ndarray]:
    """The model's parameters, 'a/b/c' to array, of a pretraining or finetuning checkpoint.

    Raises:
        ValueError: there are none where the authors' trainers put them.
    """
    target = tree.get('optimizer', {})
    target = target.get('target') if isinstance(target, dict) else None
    found = target or tree.get('params')
    if not isinstance(found, dict):
        raise ValueError(
            f"{path}: parameters must be under 'optimizer/target' or 'params', "
            f'got {sorted(map(str, tree))}'
        )
    while set(found) == {'params'} and isinstance(found['params'], dict):
        found = found['params']
    return flatten(found)
