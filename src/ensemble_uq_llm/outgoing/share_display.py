"""What a person sees of long work of which the done share is known: a bar in a terminal, plain lines elsewhere."""

import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES: Final = 10.0


class ShareDisplay(ABC):
    """Shows how far some work is; a context manager around it. What it says of the work is its kinds' own."""

    def __init__(self, console: Console, *, doing: str) -> None:
        self._console, self._doing = console, doing
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._started = self._told = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[rate]}"), console=console, transient=True)
        self._task = self._bar.add_task(doing, total=None, rate="")

    @abstractmethod
    def beginning(self) -> str:
        """Return what is said when the work begins."""

    @abstractmethod
    def ending(self, seconds: float) -> str:
        """Return what is said when it is done."""

    def __enter__(self) -> Self:
        """Say what begins."""
        self._say(self.beginning())
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
            self._say(self.ending(self.seconds))

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._started

    def show(self, share: float, *, rate: str = "") -> None:
        """Show that so much of the work, from 0 to 1, is done, at which rate."""
        self._bar.update(self._task, completed=share, total=1.0, rate=rate)
        now = time.monotonic()
        if not self._is_live and 0 < share < 1 and now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            left = (now - self._started) * (1 - share) / share
            self._say(", ".join(filter(None, (f"{self._doing}: {share:.0%}", rate, f"about {left:.0f} s left"))))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
