"""What a person sees of the making of samples: a bar in a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ensemble_uq_llm.utils.text import counted

SECONDS_BETWEEN_LINES: Final = 10.0


class MakingDisplay:
    """Hears which share of a maker's work is done (`posteriors.maker.Tell`); a context manager around it."""

    def __init__(self, console: Console, *, maker: str, samples: int, members: int) -> None:
        self._console = console
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._maker, self._samples, self._members = maker, samples, members
        self._started = self._told = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task(maker, total=None)

    def __enter__(self) -> Self:
        """Say what begins."""
        of = counted(self._members, "member")
        self._say(f"making {counted(self._samples, 'sample')} of {'each of ' if self._members > 1 else ''}{of}")
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
            self._say(f"made in {time.monotonic() - self._started:.1f} s")

    def __call__(self, share: float) -> None:
        """Show that so much of the work is done."""
        self._bar.update(self._task, completed=share, total=1.0)
        now = time.monotonic()
        if not self._is_live and 0 < share < 1 and now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            self._say(f"{share:.0%}, about {(now - self._started) * (1 - share) / share:.0f} s left")

    def _say(self, text: str) -> None:
        self._console.print(f"{self._maker}: {text}", highlight=False, soft_wrap=True)
