"""What monitoring may cost: a share of the run's time."""

import time
from collections.abc import Callable

SHARE = 0.02  # of a run's time that may go to it, the end of the run left out


class Budget:
    """Seconds that monitoring has cost, held against those of the run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock, self.began, self.spent = clock, clock(), 0.0

    def allows(self, seconds: float) -> bool:
        """Whether so much more is still within the run's share."""
        return self.spent + seconds <= SHARE * (self.clock() - self.began)
