"""What became of each member: its latest loss, its validation history, and whether it diverged."""

import math
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class MemberOutcome:
    """The running record of one member; `diverged_at` is the first step whose loss was not finite."""

    seed: int
    loss: float = math.nan
    steps: int = 0
    diverged_at: int | None = None
    history: list[dict[str, float]] = field(default_factory=list)

    def note_loss(self, step: int, loss: float) -> bool:
        """Note the loss of a step (from 1); tells whether the member has diverged just now."""
        self.loss, self.steps = loss, step
        if self.diverged_at is None and not math.isfinite(loss):
            self.diverged_at = step
            return True
        return False
