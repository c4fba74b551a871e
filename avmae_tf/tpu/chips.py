"""The versions of the TPU, in the figures that a step is measured by."""

import dataclasses
import math
import re

GIGA = 1e9


@dataclasses.dataclass(frozen=True)
class Chip:
    """A version. A core is what TensorFlow has a replica on: since v4 a whole chip, before half.

    The clock is the one at which `products` make the peak that Google publishes.
    """

    cores: int  # of a chip
    axes: int  # along which chips are connected
    memory_gib: int  # of a core
    clock_hz: float
    products: int  # multiplications with additions in a cycle, bfloat16

    @property
    def peak_flops(self) -> float:
        """FLOPs a second of a core, bfloat16; a multiplication and an addition are two."""
        return 2 * self.products * self.clock_hz


UNIT = 128 * 128  # products of one matrix unit in a cycle; those of v6e are four times as large
CHIPS = {
    'v2': Chip(cores=2, axes=2, memory_gib=8, clock_hz=0.7 * GIGA, products=UNIT),
    'v3': Chip(cores=2, axes=2, memory_gib=16, clock_hz=0.94 * GIGA, products=2 * UNIT),
    'v4': Chip(cores=1, axes=3, memory_gib=32, clock_hz=1.05 * GIGA, products=8 * UNIT),
    'v5e': Chip(cores=1, axes=2, memory_gib=16, clock_hz=1.5 * GIGA, products=4 * UNIT),
    'v5p': Chip(cores=1, axes=3, memory_gib=95, clock_hz=1.75 * GIGA, products=8 * UNIT),
    'v6e': Chip(cores=1, axes=2, memory_gib=32, clock_hz=1.75 * GIGA, products=16 * UNIT),
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """So many chips of a version, by the name that the compiler has for them: 'v5e:2x2'."""

    name: str
    version: str
    num_cores: int

    @property
    def chip(self) -> Chip:
        return CHIPS[self.version]


def smallest(version: str) -> Topology:
    """Four chips of a version, the fewest that the compiler knows of all."""
    return topology_of(f'{version}:2x2' + 'x1' * (CHIPS[version].axes - 2))


def topology_of(name: str) -> Topology:
    """The topology of that name; raises ValueError if there is none."""
    version, _, shape = name.partition(':')
    sides = shape.split('x') if re.fullmatch(r'[1-9]\d*(x[1-9]\d*)+', shape) else []
    if version not in CHIPS or len(sides) != CHIPS[version].axes:
        known = ', '.join(smallest(version).name for version in CHIPS)
        raise ValueError(
            f'a TPU must be a version with the chips along its axes, such as {known}; got {name!r}'
        )
    return Topology(name, version, math.prod(map(int, sides)) * CHIPS[version].cores)
