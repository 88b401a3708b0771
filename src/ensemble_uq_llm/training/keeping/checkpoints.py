"""What continues an interrupted training: the whole state of a group of members, kept every now and then.

Each group has its own folder of checkpoints, of which the two newest are kept. A checkpoint says what it was made with,
so that a training goes on as it began, or is refused.
"""

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save_file

from ensemble_uq_llm.errors import ConfigError, IntegrityError, StorageError
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.storage.sealed_folder import (
    new_sealed_folder,
    read_sealed_folder,
    remove_sealed_folder,
    sweep_unfinished,
)
from ensemble_uq_llm.training.events import EpochEnded, Event, Keeping, Listener, Started, Stepped
from ensemble_uq_llm.training.keeping.made_with import MadeWith
from ensemble_uq_llm.training.state import BUDGET, Snapshot, TrainingState
from ensemble_uq_llm.utils.files import remove_if_empty
from ensemble_uq_llm.utils.text import clipped, first_line

_TENSORS: Final = "state.safetensors"
_VALUES: Final = "state.json"
_KEPT: Final = 2
_SHARE_OF_TIME: Final = 0.02
"""Of training that may go into checkpoints that nobody asked for by a number of steps."""
_BYTES_A_SECOND: Final = 1e8
"""What a disk is believed to take until the first checkpoint has shown it."""


@dataclass(kw_only=True)
class Checkpoints:
    """The checkpoints of one group of members, newest last: `step_00000120` and so on in `folder`."""

    folder: Path
    making: MadeWith

    def save(self, state: TrainingState) -> None:
        """Keep the state, and of the earlier ones the newest alone.

        Raises:
            StorageError: the disk refuses; the earlier ones are intact.
        """
        path = self.folder / f"step_{state.steps:08d}_epoch_{state.epoch:04d}"  # which sort as they follow each other
        if path.is_dir() and self._is_sound(path):
            return
        snapshot = state.capture()
        self._remove([path] if path.exists() else [])
        with new_sealed_folder(path) as temporary:
            save_file({name: each.contiguous() for name, each in snapshot.tensors.items()}, temporary / _TENSORS)
            made = {"must_agree": self.making.must_agree, "environment": self.making.environment}
            (temporary / _VALUES).write_text(json.dumps({**made, "state": snapshot.values}), encoding="utf-8")
        self._remove(self._paths()[:-_KEPT])

    def check(self) -> None:
        """See to it that training can go on from what is there.

        Raises:
            ConfigError: it is of a training of other members, settings or data; the message names the differences.
        """
        passed_over: list[str] = []
        if found := self._newest(passed_over):
            self._check_goes_on(found[0])
        for each in passed_over:
            then = "training goes on from an earlier one" if found else "there is no other: training begins anew"
            warnings.warn(f"{each}; this checkpoint is passed over, and {then}", stacklevel=2)

    def sweep(self) -> None:
        """Remove what writers that died have left."""
        sweep_unfinished(self.folder)

    def newest(self) -> Snapshot | None:
        """Return the newest state that is sound, of which `check` has told."""
        found = self._newest([])
        if found is None:
            return None
        making, snapshot = found
        if making.environment.get(BUDGET) != self.making.environment.get(BUDGET):
            del snapshot.values[BUDGET]  # what is wanted now counts, as it may be the memory that interrupted it
        return snapshot

    def _newest(self, passed_over: list[str]) -> tuple[MadeWith, Snapshot] | None:
        for path in reversed(self._paths()):
            try:
                return _read(path)
            except (IntegrityError, StorageError) as error:
                passed_over.append(first_line(error).partition(";")[0])
        return None

    def clear(self) -> None:
        """Remove them, as what they were kept for is done."""
        if self.folder.is_dir():
            sweep_unfinished(self.folder)
            self._remove(self._paths())
            for each in (self.folder, self.folder.parent):
                remove_if_empty(each)

    def _remove(self, paths: Sequence[Path]) -> None:
        for path in paths:
            try:
                remove_sealed_folder(path, (_TENSORS, _VALUES))
            except IntegrityError as error:
                warnings.warn(str(error), stacklevel=3)

    @staticmethod
    def _is_sound(path: Path) -> bool:
        try:
            read_sealed_folder(path)
        except (IntegrityError, StorageError):
            return False
        return True

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step_*") if path.is_dir() and not path.is_symlink())

    def _check_goes_on(self, found: MadeWith) -> None:
        there, here = _plain(found.must_agree), _plain(self.making.must_agree)
        differences = [
            f"{key}: {clipped(there.get(key))} there, {clipped(here.get(key))} now"
            for key in {**there, **here}
            if there.get(key) != here.get(key)
        ]
        if differences:
            raise ConfigError(
                f"output_dir: {self.folder} holds an interrupted training, begun differently:\n  "
                + "\n  ".join(differences)
                + "\nPut these back to continue it, begin anew with `--set resume=false`, or use another output_dir"
            )
        there, here = _plain(found.environment), _plain(self.making.environment)
        other = [
            f"{key} was {clipped(there.get(key))} and is {clipped(value)}"
            for key, value in here.items()
            if there.get(key) != value
        ]
        if other:
            warnings.warn(
                f"{self.folder}: the training goes on in another environment ({'; '.join(other)}): its numbers will "
                "differ by rounding from those of an undisturbed one",
                stacklevel=3,
            )


def _read(path: Path) -> tuple[MadeWith, Snapshot]:
    files = read_sealed_folder(path)
    try:
        values = json.loads(files[_VALUES])
        making = MadeWith(must_agree=values["must_agree"], environment=values["environment"])
        return making, Snapshot(tensors=load(files[_TENSORS]), values=values["state"])
    except (KeyError, ValueError, TypeError, SafetensorError) as error:
        raise IntegrityError(f"{path}: no checkpoint of this version ({first_line(error)})") from None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON gives them back."""
    content: dict[str, Any] = json.loads(json.dumps(values))
    return content


@dataclass(kw_only=True)
class CheckpointWriter:
    """A listener that keeps the state where that is due, and lets a request to stop be heard between two steps.

    Due is what a number of steps asks for; the end of an epoch, and so many minutes, where it costs a fiftieth of the
    time since the last one at most. `listeners` hear of it before.
    """

    state: TrainingState
    checkpoints: Checkpoints
    every_steps: int | None
    every_seconds: float
    listeners: Sequence[Listener] = ()
    _last: float = field(default_factory=time.monotonic)
    _cost: float | None = None

    def __call__(self, event: Event) -> None:
        """Keep the state after a step or an epoch, where that is due; raises StopRequested where that was asked for."""
        if isinstance(event, Started | Stepped | EpochEnded):  # what comes before these belongs to them
            if self._is_due(event):
                self._keep_if_possible()
            stop.check()

    def keep(self) -> None:
        """Keep the state as it is.

        Raises:
            StorageError: the disk refuses.
        """
        if self.state.steps:
            for listener in self.listeners:
                listener(Keeping(step=self.state.steps))
            self.checkpoints.save(self.state)

    def _is_due(self, event: Event) -> bool:
        if isinstance(event, Started):
            return False
        if self.every_steps is not None and isinstance(event, Stepped):
            return self.state.steps % self.every_steps == 0
        since = time.monotonic() - self._last
        wanted = isinstance(event, EpochEnded) or since >= self.every_seconds
        return wanted and self._expected_cost() <= _SHARE_OF_TIME * since

    def _expected_cost(self) -> float:
        if self._cost is None:
            stacks = 3 + (self.state.best is not None)
            size = sum(4 * each.numel() for each in self.state.ensemble.trainable()) * stacks
            return 0.02 + size / _BYTES_A_SECOND
        return self._cost

    def _keep_if_possible(self) -> None:
        started = time.monotonic()
        try:
            self.keep()
        except StorageError as error:  # the disk may have room again before anything is lost
            warnings.warn(f"{error}; training goes on without this checkpoint", stacklevel=2)
        self._last = time.monotonic()
        self._cost = self._last - started


def clear_all(folder: Path) -> None:
    """Remove what was kept of every group, as all of it is done, or is begun anew."""
    for group in folder.glob("from_seed_*"):
        if group.is_dir() and not group.is_symlink():
            Checkpoints(folder=group, making=MadeWith(must_agree={}, environment={})).clear()
    remove_if_empty(folder)
