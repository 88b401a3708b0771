"""What training tells the outside: typed events, for the display, the event log and the caller."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to a group: the members that one device trains, counted from 0 over the devices."""

    group: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The training of the group of these seeds begins, or goes on; `groups` are trained side by side."""

    groups: int = 1
    seeds: tuple[int, ...]
    epochs: int
    steps: int
    examples: int
    tokens_per_pass: int
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped(Event):
    """An optimiser step was taken; losses by seed, tokens of all members of the group a second."""

    step: int
    epoch: int
    learning_rate: float
    losses: dict[int, float]
    tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded(Event):
    """An epoch is over; validation loss and accuracy by seed (empty without labelled validation data).

    `stopping_loss` is that on the stopping split (empty but with `keep: best`); members that have stopped are left out.
    """

    epoch: int
    validation_loss: dict[int, float]
    validation_accuracy: dict[int, float]
    stopping_loss: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStopped(Event):
    """A member is not trained any further after this epoch, as it became no better since the one that is kept."""

    seed: int
    epoch: int
    kept_epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BestKept(Event):
    """Every member has the weights of its best epoch again: the epochs by seed."""

    epochs: dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDiverged(Event):
    """A member has diverged, and is trained no further; the others go on."""

    seed: int
    step: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersLost(Event):
    """The group's process ended before its members were trained; other groups go on."""

    seeds: tuple[int, ...]
    device: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """Training is over, after so many seconds."""

    seconds: float


Listener = Callable[[Event], None]


class EventLog:
    """A listener that appends each event to `events.jsonl`, one JSON object a line.

    The file and its folder appear with the first event. A loss that is not finite is written as null.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: Event) -> None:
        """Write one event."""
        record = {"event": type(event).__name__, "time": round(time.time(), 3), **_finite(dataclasses.asdict(event))}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
