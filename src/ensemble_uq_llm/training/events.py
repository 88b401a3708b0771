"""What training tells the outside: typed events, for the display, the event log and the caller."""

import dataclasses
import errno
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.utils.files import atomic_path, flush


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to a group: the members that one device trains, counted from 0 over the devices."""

    group: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The training of the group of these seeds begins, or goes on after `step`; `groups` are trained side by side."""

    groups: int = 1
    step: int = 0
    epoch: int = 0
    """Whole epochs before."""
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
class Keeping(Event):
    """The state after this step is about to be kept: once all have heard of this, nothing before it is forgotten."""

    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """Training is over, after so many seconds; once all have heard of this, its members are kept."""

    seconds: float


Listener = Callable[[Event], None]


class EventLog:
    """A listener that appends each event of the training `run` to `events.jsonl`, one JSON object a line.

    The file appears with the first event, in a folder that is there: one that was removed since is not made anew. A
    loss that is not finite is written as null. Where a training goes on, what it wrote of the steps that it takes again
    is removed first, so that no step is there twice. Before a state or members are kept, all is on disk; what could not
    be written is tried again until then, as a disk that refuses one line is no reason to end a training.
    """

    def __init__(self, path: Path, *, run: str) -> None:
        self._path = path
        self._run = run
        self._unwritten: list[str] = []
        self._torn_at: int | None = None
        """How long the file was before a write that has failed."""

    def __call__(self, event: Event) -> None:
        """Write one event.

        Raises:
            StorageError: the disk refuses the first line, or those that must be there before something is kept.
        """
        with naming_failures(self._path, "written"):
            if isinstance(event, Started):
                self._go_on(event)
            if not isinstance(event, Keeping):
                self._unwritten.append(self._line(event))
            try:
                self._write()
                if isinstance(event, Keeping | Ended):
                    flush(self._path)
            except OSError:
                if isinstance(event, Started | Keeping | Ended):
                    raise

    def _line(self, event: Event) -> str:
        told = _finite(dataclasses.asdict(event))
        record = {"event": type(event).__name__, "run": self._run, "time": round(time.time(), 3), **told}
        return json.dumps(record, allow_nan=False) + "\n"

    def _write(self) -> None:
        if not self._unwritten:
            return
        with self._path.open("ab", buffering=0) as stream:
            if self._torn_at is not None:
                stream.truncate(self._torn_at)
            self._torn_at = stream.seek(0, os.SEEK_END)
            told = "".join(self._unwritten).encode()
            if stream.write(told) < len(told):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn_at = None
        self._unwritten.clear()

    def _go_on(self, event: Started) -> None:
        """Remove the lines of the group's steps that are taken again, and a line that a crash has torn."""
        if not self._path.exists():
            return
        lines = self._path.read_bytes()[: self._torn_at].splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and not self._is_undone(line, event)]
        if self._torn_at is not None or len(kept) < len(lines):
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(b"".join(kept))
        self._torn_at = None

    def _is_undone(self, line: bytes, started: Started) -> bool:
        try:
            told = json.loads(line)
            if told.get("run") != self._run or told.get("group") != started.group:
                return False
            if told["event"] in ("EpochEnded", "MemberStopped"):
                return bool(told["epoch"] > started.epoch)
            if told["event"] in ("Stepped", "MemberDiverged"):
                return bool(told["step"] > started.step)
        except (ValueError, AttributeError, KeyError, TypeError):
            return True  # torn, or not ours
        return told["event"] in ("Ended", "BestKept", "MembersLost")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
