"""What a person sees of training: a live table of all members in a terminal, plain lines elsewhere."""

import math
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ensemble_uq_llm.training.events import Ended, EpochEnded, Event, MemberDiverged, Started, Stepped

_SMOOTHING = 0.9
"""Weight of the past in the running loss; a single batch says little."""


class TrainingDisplay:
    """A listener that shows the members' progress; use it as a context manager around training."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._losses: dict[int, float] = {}
        self._diverged: dict[int, int] = {}
        self._epoch: EpochEnded | None = None
        self._rate = math.nan
        self._plan: Started | None = None
        self._bar = Progress(
            TextColumn("step"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        )
        self._task = self._bar.add_task("step", total=None)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Begin the live display, where the console is a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the live display and leave its last state on the screen."""
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Started():
                self._plan = event
                self._bar.update(self._task, total=event.steps)
                self._say(
                    f"training {len(event.seeds)} members jointly on {event.examples:,} examples: {event.epochs} "
                    f"epochs, {event.steps:,} steps, up to {event.tokens_per_pass:,} tokens a pass, {event.device}"
                )
            case Stepped():
                self._note_step(event)
            case EpochEnded():
                self._epoch = event
                self._say(f"epoch {event.epoch}: {self._summary(event)}")
            case MemberDiverged():
                self._diverged[event.seed] = event.step
                self._say(f"member {event.seed} diverged at step {event.step}; the others go on")
            case Ended():
                self._say(f"trained in {event.seconds:.1f} s")

    def _note_step(self, event: Stepped) -> None:
        self._rate = event.tokens_per_second
        for seed, loss in event.losses.items():
            before = self._losses.get(seed, loss)
            self._losses[seed] = _SMOOTHING * before + (1 - _SMOOTHING) * loss
        self._bar.update(self._task, completed=event.step)
        steps = self._plan.steps if self._plan else event.step
        if not self._console.is_terminal and (event.step == steps or event.step % max(1, steps // 10) == 0):
            well = [loss for seed, loss in self._losses.items() if seed not in self._diverged]
            mean = sum(well) / len(well) if well else math.nan
            self._say(f"step {event.step}/{steps}: mean loss {mean:.4f}, {event.tokens_per_second:,.0f} tokens/s")

    def _summary(self, event: EpochEnded) -> str:
        if not event.validation_loss:
            return "no labelled validation data"
        well = [seed for seed in event.validation_loss if seed not in self._diverged]
        if not well:
            return "every member has diverged"
        losses, accuracies = ([of[seed] for seed in well] for of in (event.validation_loss, event.validation_accuracy))
        return (
            f"validation loss {min(losses):.4f} to {max(losses):.4f}, accuracy {min(accuracies):.1%} to "
            f"{max(accuracies):.1%} over the members"
        )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        if self._plan is None or self._plan.steps == 0:
            return ""
        table = Table("member", "loss", "validation loss", "accuracy", box=None, pad_edge=False)
        for seed in self._plan.seeds:
            state = f"diverged at {self._diverged[seed]}" if seed in self._diverged else f"{self._loss(seed):.4f}"
            table.add_row(str(seed), state, *self._validation(seed))
        return Group(table, self._bar, f"{self._rate:,.0f} tokens/s")

    def _loss(self, seed: int) -> float:
        return self._losses.get(seed, math.nan)

    def _validation(self, seed: int) -> tuple[str, str]:
        if self._epoch is None or seed not in self._epoch.validation_loss:
            return "", ""
        return f"{self._epoch.validation_loss[seed]:.4f}", f"{self._epoch.validation_accuracy[seed]:.1%}"
