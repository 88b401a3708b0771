import io

import pytest
from rich.console import Console

from ensemble_uq_llm.outgoing import share_display
from ensemble_uq_llm.sampling.making_display import MakingDisplay


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves on."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(share_display.time, "monotonic", lambda: Clock.now)
    return Clock


def test_plain_lines_with_the_time_left(clock):
    out = Console(file=io.StringIO(), width=100)
    with MakingDisplay(out, maker="tfb", samples=10, members=3) as display:
        for second in range(1, 31):
            clock.now = float(second)
            display(second / 40)
    assert out.file.getvalue().splitlines() == [
        "tfb: making 10 samples of each of 3 members",
        "tfb: 25%, about 30 s left",
        "tfb: 50%, about 20 s left",
        "tfb: 75%, about 10 s left",
        "tfb: made in 30.0 s",
    ]


def test_a_terminal_has_a_bar_and_a_failure_no_last_line(clock):
    out = Console(file=io.StringIO(), width=100, force_terminal=True)
    display = MakingDisplay(out, maker="swag", samples=1, members=1)
    display.__enter__()
    display(0.5)
    display.__exit__(KeyError, KeyError("planted"), None)
    assert "swag: making 1 sample of 1 member" in out.file.getvalue()
    assert "made in" not in out.file.getvalue()
