"""What a person sees of training: a live table of all members in a terminal, plain lines elsewhere."""

import math
from collections.abc import Sized
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ensemble_uq_llm.training.events import (
    BestKept,
    Ended,
    EpochEnded,
    Event,
    MemberDiverged,
    MembersLost,
    MemberStopped,
    Started,
    Stepped,
)
from ensemble_uq_llm.utils.text import counted

_SMOOTHING = 0.9
"""Weight of the past in the running loss; a single batch says little."""


@dataclass(slots=True)
class _Device:
    """The group of members that one device trains, and how far it is."""

    plan: Started
    step: int = 0
    rate: float = math.nan
    epochs: list[EpochEnded] = field(default_factory=list)
    seconds: float | None = None


class TrainingDisplay:
    """A listener that shows the members' progress; use it as a context manager around training.

    Several devices take the same steps at their own pace: what is shown is what all of them have done.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._devices: dict[int, _Device] = {}
        self._groups = 1
        self._lost_groups: set[int] = set()
        self._losses: dict[int, float] = {}
        self._failures: dict[int, str] = {}
        self._told_step = 0
        self._bar = Progress(
            TextColumn("step"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        )
        self._task = self._bar.add_task("step", total=None)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Begin the live display, where the console is a terminal that can redraw."""
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the live display and leave its last state on the screen."""
        if self._is_live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Started():
                if self._is_everyone([each for each in self._devices.values() if each.seconds is not None]):
                    self._devices, self._told_step = {}, 0  # one training after another
                    self._lost_groups.clear()
                self._devices[event.group] = _Device(event, step=event.step)
                self._groups = event.groups
                self._bar.update(self._task, total=event.steps)
                self._say(
                    f"training {counted(len(event.seeds), 'member')}{' jointly' if len(event.seeds) > 1 else ''} on "
                    f"{counted(event.examples, 'example')}: {counted(event.epochs, 'epoch')}, "
                    f"{counted(event.steps, 'step')}{f', going on after step {event.step:,}' if event.step else ''}, "
                    f"up to {event.tokens_per_pass:,} tokens a pass, {event.device}"
                )
            case Stepped():
                self._note_step(event)
            case EpochEnded():
                self._note_epoch(event)
            case MemberStopped():
                kept = "none" if event.kept_epoch is None else f"epoch {event.kept_epoch}"
                self._say(f"member {event.seed} stopped after epoch {event.epoch}; kept: {kept}")
            case BestKept():
                listing = ", ".join(f"{epoch} of member {seed}" for seed, epoch in event.epochs.items())
                self._say(f"best epochs kept: {listing or 'none'}")
            case MemberDiverged():
                self._failures[event.seed] = f"diverged at {event.step}"
                why = f" ({event.reason})" if event.reason else ""
                self._say(f"member {event.seed} diverged at step {event.step}{why}; the others go on")
            case MembersLost():
                self._devices.pop(event.group, None)
                self._lost_groups.add(event.group)
                self._failures |= dict.fromkeys(event.seeds, "lost")
                members = f"member{'s' if len(event.seeds) > 1 else ''} {', '.join(map(str, event.seeds))}"
                self._say(f"{event.device}: {members} lost: {event.reason}; the others go on")
            case Ended():
                self._note_end(event)

    def _note_step(self, event: Stepped) -> None:
        device = self._devices[event.group]
        device.step, device.rate = event.step, event.tokens_per_second
        for seed, loss in event.losses.items():
            before = self._losses.get(seed, loss)
            self._losses[seed] = _SMOOTHING * before + (1 - _SMOOTHING) * loss
        step, steps = min(each.step for each in self._running()), device.plan.steps
        if not self._is_everyone(self._devices):
            return
        self._bar.update(self._task, completed=step)
        if step <= self._told_step or self._is_live:
            return
        if step == steps or step % max(1, steps // 10) == 0:
            self._told_step = step
            well = [loss for seed, loss in self._losses.items() if seed not in self._failures]
            mean = sum(well) / len(well) if well else math.nan
            self._say(f"step {step}/{steps}: mean loss {mean:.4f}, {self._rate():,.0f} tokens/s")

    def _note_epoch(self, event: EpochEnded) -> None:
        self._devices[event.group].epochs.append(event)
        epochs = [each for device in self._running() for each in device.epochs if each.epoch == event.epoch]
        if self._is_everyone(epochs):
            self._say(f"epoch {event.epoch}: {self._summary(epochs)}")

    def _note_end(self, event: Ended) -> None:
        self._devices[event.group].seconds = event.seconds
        seconds = [device.seconds for device in self._running() if device.seconds is not None]
        if self._is_everyone(seconds):
            self._say(f"trained in {max(seconds):.1f} s")

    def _is_everyone(self, those: Sized) -> bool:
        return len(those) == self._groups - len(self._lost_groups)

    def _summary(self, epochs: list[EpochEnded]) -> str:
        losses = {seed: loss for each in epochs for seed, loss in each.validation_loss.items()}
        accuracies = {seed: share for each in epochs for seed, share in each.validation_accuracy.items()}
        if not losses:
            return "not measured on validation data"
        well = [seed for seed in losses if seed not in self._failures]
        if not well:
            return "every member has diverged"
        own_losses, own_accuracies = ([of[seed] for seed in well] for of in (losses, accuracies))
        return (
            f"validation loss {min(own_losses):.4f} to {max(own_losses):.4f}, accuracy {min(own_accuracies):.1%} to "
            f"{max(own_accuracies):.1%} over the members"
        )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _rate(self) -> float:
        return sum(device.rate for device in self._running())

    def _running(self) -> list[_Device]:
        return list(self._devices.values())  # a copy: the live display renders in a thread of its own

    def _render(self) -> RenderableType:
        if not any(device.plan.steps for device in self._running()):
            return ""
        table = Table("member", "loss", "validation loss", "accuracy", box=None, pad_edge=False)
        for device in self._running():
            for seed in device.plan.seeds:
                state = self._failures.get(seed, f"{self._losses.get(seed, math.nan):.4f}")
                table.add_row(str(seed), state, *_validation(device.epochs, seed))
        return Group(table, self._bar, f"{self._rate():,.0f} tokens/s")


def _validation(epochs: list[EpochEnded], seed: int) -> tuple[str, str]:
    if not epochs or seed not in epochs[-1].validation_loss:
        return "", ""
    return f"{epochs[-1].validation_loss[seed]:.4f}", f"{epochs[-1].validation_accuracy[seed]:.1%}"
