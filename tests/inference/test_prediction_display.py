import io
import re

import pytest
from rich.console import Console

from ensemble_uq_llm.inference.prediction_display import PredictionDisplay
from ensemble_uq_llm.outgoing import share_display


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves on."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(share_display.time, "monotonic", lambda: Clock.now)
    return Clock


def console(**more):
    return Console(file=io.StringIO(), width=100, **more)


def test_plain_lines_with_rate_and_time_left(clock):
    out = console()
    with PredictionDisplay(out, name="far", examples=1000, members=1) as display:
        for second in range(1, 41):
            clock.now = float(second)
            display(25 * second, 1000)
    assert out.file.getvalue().splitlines() == [
        "predicting far: 1,000 examples by 1 member",
        "predicting far: 25%, 25.0 examples/s, about 30 s left",
        "predicting far: 50%, 25.0 examples/s, about 20 s left",
        "predicting far: 75%, 25.0 examples/s, about 10 s left",
        "predicted far in 40.0 s (25.0 examples/s)",
    ]


def test_what_breaks_off_is_not_called_done():
    out = console()
    with pytest.raises(KeyboardInterrupt), PredictionDisplay(out, name="far", examples=5, members=2):
        raise KeyboardInterrupt
    assert "predicted" not in out.file.getvalue()


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_bar_where_the_terminal_can_redraw(clock, term):
    out = console(force_terminal=True, _environ={"TERM": term})
    with PredictionDisplay(out, name="far", examples=1000, members=2) as display:
        clock.now = 20.0
        display(1000, 2000)
        display._bar.refresh()
    text = out.file.getvalue()
    assert ("\x1b[" in text) == (term == "xterm")
    assert ("about 20 s left" in text) == (term == "dumb")
    assert re.search(r"25\.0 examples/s", text)
