"""Two arrays side by side, and the report on many."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
TINY = 1e-12
MISMATCH = 1e9  # where there is no number: of another shape, or a fact that does not hold


class Comparison(NamedTuple):
    """An array of a fixture against ours; `error` is None where it was not compared, `note` why."""

    name: str
    error: float | None
    tolerance: float = TOLERANCE
    note: str = ''

    @property
    def failed(self) -> bool:
        """Whether it was compared, and the error is above the tolerance."""
        return self.error is not None and not self.error <= self.tolerance


def relative_error(ours: npt.ArrayLike, theirs: npt.ArrayLike, floor: float = TINY) -> float:
    """max |a - b| / max |b| over the array, or / `floor`; MISMATCH where shapes differ."""
    ours, theirs = (np.asarray(x, np.float64) for x in (ours, theirs))
    if ours.shape != theirs.shape:
        return MISMATCH
    if not theirs.size:
        return 0.0
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), floor))


def compare(
    name: str,
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    *,
    tolerance: float = TOLERANCE,
    floor: float = TINY,
) -> Comparison:
    """One line of the report."""
    return Comparison(name, relative_error(ours, theirs, floor), tolerance)


def compare_all(
    ours: dict, theirs: dict, *, tolerance: float = TOLERANCE, prefix: str = ''
) -> list[Comparison]:
    """Every array of theirs; one that we do not have is listed as not compared."""
    return [
        compare(prefix + name, ours[name], value, tolerance=tolerance)
        if name in ours
        else Comparison(prefix + name, None, note='not known here')
        for name, value in theirs.items()
    ]


def exact(name: str, same: bool, note: str = '') -> Comparison:
    """A fact that holds or does not."""
    return Comparison(name, 0.0 if same else MISMATCH, note=note)
