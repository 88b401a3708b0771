"""What a person sees of prediction: a bar with its rate in a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ensemble_uq_llm.utils.text import counted

SECONDS_BETWEEN_LINES: Final = 10.0


class PredictionDisplay:
    """Hears how far the prediction of one set is (`models.logits.Tell`); a context manager around it."""

    def __init__(self, console: Console, *, name: str, examples: int, members: int) -> None:
        self._console = console
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._name, self._examples, self._members = name, examples, members
        self._started = self._told = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[rate]}"), console=console, transient=True)
        self._task = self._bar.add_task(f"predicting {name}", total=None, rate="")

    def __enter__(self) -> Self:
        """Say what begins."""
        what = f"{counted(self._examples, 'example')} by {counted(self._members, 'member')}"
        self._console.print(f"predicting {self._name}: {what}", soft_wrap=True)
        if self._is_live:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away, and say how long it took where it is done."""
        if self._is_live:
            self._bar.stop()
        if kind is None:
            seconds = time.monotonic() - self._started
            self._console.print(
                f"predicted {self._name} in {seconds:.1f} s ({self._rate(self._examples)})", soft_wrap=True
            )

    def __call__(self, done: int, total: int) -> None:
        """Show that so many of all answers are there."""
        rate = self._rate(self._examples * done / total)
        self._bar.update(self._task, completed=done, total=total, rate=rate)
        now = time.monotonic()
        if not self._is_live and done < total and now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            left = (now - self._started) * (total - done) / done
            self._console.print(f"predicting {self._name}: {done / total:.0%}, {rate}, about {left:.0f} s left")

    def _rate(self, examples: float) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        return f"{examples / seconds:,.1f} examples/s"
