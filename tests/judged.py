"""A command run in this process, and judged: its exit code, no traceback, its time and memory, a message that ends.

Time is that of the processor, because the machine is shared by tests; a wait that never ends is cut by the clock.
"""

import contextlib
import io
import resource
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import ensemble_uq_llm.pipeline  # noqa: F401  (what a process imports once is not the time of its first command)
from ensemble_uq_llm.cli import main

SECONDS = 2.0
WAIT = 60.0
GROWTH = 200 << 20
MESSAGE = 20_000


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: object
    output: str
    error: str
    seconds: float
    growth: int


def judged(arguments: Sequence[str], *, codes: Sequence[int] = (0, 2, 3), seconds: float = SECONDS) -> Outcome:
    """Run a command; fail the test where it does anything that a stranger's input must not make it do."""
    outcome = run(arguments)
    shown = f"{[each[:80] for each in arguments]}: {outcome.error[:500]}"
    assert outcome.code in codes, f"exit {outcome.code} of {shown}"
    assert outcome.seconds <= seconds, f"{outcome.seconds:.1f} s for {shown}"
    assert outcome.growth <= GROWTH, f"{outcome.growth >> 20} MB for {shown}"
    assert len(outcome.error) <= MESSAGE, f"a message of {len(outcome.error)} characters for {shown}"
    return outcome


def run(arguments: Sequence[str]) -> Outcome:
    """Run a command in this process; any exception but an exit is a traceback to the user, and leaves here as one."""
    output, error = io.StringIO(), io.StringIO()
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    started = _processor_time()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error), _at_most(WAIT):
        try:
            main(list(arguments))
            code: object = 0
        except SystemExit as exit_:
            code = exit_.code or 0
    spent = _processor_time() - started
    return Outcome(code, output.getvalue(), error.getvalue(), spent, _memory("VmHWM") - before)


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _memory(kind: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith(f"{kind}:")]
    return int(line.split()[1]) << 10


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def give_up(*_: object) -> None:
        pytest.fail(f"still waiting after {seconds:.0f} s")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
