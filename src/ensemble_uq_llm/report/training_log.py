"""What a run's `events.jsonl` says of its members' learning: their losses by step and by epoch."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_uq_llm.storage.guard import read_guarded


@dataclass(kw_only=True)
class MemberLog:
    """The learning of the member of one seed, as the log goes on."""

    losses: dict[int, float] = field(default_factory=dict)
    """The mean loss of a step's batch, by step."""
    validation_losses: dict[int, float] = field(default_factory=dict)
    """By epoch; empty without labelled validation data."""
    diverged: bool = False

    def go_on(self, step: int, epoch: int) -> None:
        """Forget what an earlier training, or one that was interrupted later, says of this step and those after it."""
        self.losses = {at: loss for at, loss in self.losses.items() if at < step}
        self.validation_losses = {at: loss for at, loss in self.validation_losses.items() if at < epoch}
        self.diverged = False


def read_training_log(path: Path, seeds: Collection[int]) -> dict[int, MemberLog]:
    """Return the learning of the members of these seeds, in their order; of those alone that the log knows.

    The log only shows how training went, so lines that are torn, or none of ours, are passed over: an interrupted
    training may leave one.
    """
    logs: dict[int, MemberLog] = {}
    begins: set[int] = set()
    for event in _events(path):
        if event["event"] == "Started":
            begins.update(_numbers(event.get("seeds")))
        elif event["event"] == "Stepped":
            step, epoch = event.get("step"), event.get("epoch")
            if isinstance(step, int) and isinstance(epoch, int):
                _take_step(logs, begins, step, epoch, event.get("losses"))
        elif event["event"] == "EpochEnded":
            for seed, loss in _losses(event.get("validation_loss")):
                if isinstance(event.get("epoch"), int):
                    logs.setdefault(seed, MemberLog()).validation_losses[event["epoch"]] = loss
        elif event["event"] == "MemberDiverged" and event.get("seed") in logs:
            logs[event["seed"]].diverged = True
    return {seed: logs[seed] for seed in seeds if seed in logs and logs[seed].losses}


def _take_step(logs: dict[int, MemberLog], begins: set[int], step: int, epoch: int, losses: Any) -> None:
    for seed, loss in _losses(losses):
        log = logs.setdefault(seed, MemberLog())
        if seed in begins:
            log.go_on(step, epoch)
            begins.remove(seed)
        log.losses[step] = loss


def _events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        content = read_guarded(path)
    except FileNotFoundError:
        return
    for line in content.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # torn
        if isinstance(event, dict) and "event" in event:
            yield event


def _losses(losses: Any) -> Iterator[tuple[int, float]]:
    """Yield the losses by seed; one that was not finite is null and no point of a curve."""
    if isinstance(losses, Mapping):
        for seed, loss in losses.items():
            if str(seed).isdecimal() and isinstance(loss, int | float):
                yield int(seed), float(loss)


def _numbers(values: Any) -> list[int]:
    return [value for value in values if isinstance(value, int)] if isinstance(values, list) else []
