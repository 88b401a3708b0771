"""What the training loop tells the outside: typed events, for the display, the event log and the caller."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Training begins."""

    seeds: tuple[int, ...]
    epochs: int
    steps: int
    examples: int
    tokens_per_pass: int
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """An optimiser step was taken; losses by seed, tokens of all members a second."""

    step: int
    epoch: int
    learning_rate: float
    losses: dict[int, float]
    tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded:
    """An epoch is over; validation loss and accuracy by seed (empty without labelled validation data)."""

    epoch: int
    validation_loss: dict[int, float]
    validation_accuracy: dict[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDiverged:
    """A member's loss is no longer finite; the others go on."""

    seed: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Training is over, after so many seconds."""

    seconds: float


Event = Started | Stepped | EpochEnded | MemberDiverged | Ended
Listener = Callable[[Event], None]
