"""What an optimised module costs by the compiler's own estimate, loops included.

The compiler writes beside each instruction how many cycles it estimates. Those of a loop's body
count as often as it runs, those of a fusion are the fusion's.
"""

import re
from typing import NamedTuple

_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) .*\{$')
_INSTRUCTION = re.compile(r'^\s+(?:ROOT )?%?[\w.\-]+ = .*?[\s)}\]]([a-z][a-z\d\-]*)\(')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CONDITION = re.compile(r'\bcondition=%?([\w.\-]+)')
_LIMIT = re.compile(r' = s32\[\]\S* constant\((\d+)\)')
_COUNTS = re.compile(r'ROOT .* compare\(.*direction=LT')
_BODY = re.compile(r'\bbody=%?([\w.\-]+)')
_CALLED = re.compile(r'\b(?:to_apply|(?:true|false)_computation)=%?([\w.\-]+)')
_BRANCHES = re.compile(r'\bbranch_computations=\{([^}]*)\}')
OVERFLOWN = 10**12  # a few estimates are nonsense
UNPRICED = ('sort', 'custom-call')  # what takes time and may have no estimate
_FREE = re.compile(r'custom_call_target="(AllocateBuffer|Assume\w+|X64\w+)"')  # computes nothing


class Price(NamedTuple):
    """Cycles of a module, and of how many instructions that run the estimate says nothing."""

    cycles: int
    unpriced: int
    instructions: int  # in all computations


def price(text: str) -> Price:
    """The price of an optimised module, given as text."""
    entry, computations = _computations(text)
    known: dict[str, tuple[int, int]] = {}

    def of(name: str) -> tuple[int, int]:
        if name not in known:
            costs = [of_line(line) for line in computations[name]]
            known[name] = sum(c for c, _ in costs), sum(u for _, u in costs)
        return known[name]

    def trips_of(line: str) -> int:
        """How often a loop runs: as it says, or as its counter, which starts from 0, is limited."""
        if known_trips := _TRIPS.search(line):
            return int(known_trips[1])
        condition = computations[_CONDITION.search(line)[1]]
        limits = [int(found[1]) for x in condition if (found := _LIMIT.search(x))]
        counts = len(limits) == 1 and any(_COUNTS.search(x) for x in condition)
        return limits[0] if counts else 0

    def of_line(line: str) -> tuple[int, int]:
        opcode = _opcode(line)
        if opcode == 'while':
            cycles, unpriced = of(_BODY.search(line)[1])
            trips = trips_of(line)
            return (cycles * trips, unpriced) if trips else (cycles, unpriced + 1)
        if opcode in ('call', 'conditional'):
            branches = _BRANCHES.search(line)
            names = re.findall(r'[\w.\-]+', branches[1]) if branches else _CALLED.findall(line)
            return max(map(of, names))
        found = _CYCLES.search(line)
        if found and int(found[1]) < OVERFLOWN:
            return int(found[1]), 0
        return 0, int(bool(found) or (opcode in UNPRICED and not _FREE.search(line)))

    cycles, unpriced = of(entry)
    return Price(cycles, unpriced, sum(map(len, computations.values())))


def _computations(text: str) -> tuple[str, dict[str, list[str]]]:
    """The name of the entry, and the lines of every computation."""
    entry, lines, found = '', [], {}
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            entry = match[2] if match[1] else entry
            lines = found[match[2]] = []
        elif line.startswith(' ') and ' = ' in line:
            lines.append(line)
    return entry, found


def _opcode(line: str) -> str:
    match = _INSTRUCTION.match(line)
    return match[1] if match else ''
