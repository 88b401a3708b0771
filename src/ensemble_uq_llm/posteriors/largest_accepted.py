"""The largest number that a test accepts, searched for by growing and halving; many such searches side by side."""

import math
from dataclasses import dataclass
from typing import Final

START: Final = 0.05
STEP: Final = 4.0
"""By how much a trial differs from the last one until one is accepted and one rejected."""


@dataclass(slots=True)
class Search:
    """One search: what was accepted and rejected so far."""

    largest: float
    """No trial is larger."""
    accepted: float = 0.0
    rejected: float | None = None

    @property
    def trial(self) -> float:
        """What to test next: between the two, on a logarithmic scale, once there are two."""
        if self.rejected is None:
            return min(self.largest, self.accepted * STEP or START)
        return math.sqrt(self.accepted * self.rejected) if self.accepted else self.rejected / STEP

    def note(self, *, accepted: bool) -> None:
        """Note how the trial went."""
        if accepted:
            self.accepted = self.trial
        else:
            self.rejected = self.trial

    @property
    def is_over(self) -> bool:
        """Whether there is nothing larger to try."""
        return self.accepted >= self.largest
