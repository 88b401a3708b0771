import io

import pytest
from rich.console import Console

from ensemble_uq_llm.outgoing import share_display
from ensemble_uq_llm.outgoing.share_display import ShareDisplay


class Counting(ShareDisplay):
    def beginning(self) -> str:
        return "counting begins"

    def ending(self, seconds: float) -> str:
        return f"counted in {seconds:g} s"


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(share_display.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.mark.parametrize(("rate", "told"), [("", ""), ("3 sheep/s", "3 sheep/s, ")])
def test_a_line_every_ten_seconds_with_the_rate_where_there_is_one(clock, rate, told):
    out = Console(file=io.StringIO(), width=100)
    with Counting(out, doing="counting") as display:
        for clock.now in (1.0, 9.0, 12.0, 20.0, 23.0):
            display.show(clock.now / 24, rate=rate)
        display.show(1.0, rate=rate)
    assert out.file.getvalue().splitlines() == [
        "counting begins",
        f"counting: 50%, {told}about 12 s left",
        f"counting: 96%, {told}about 1 s left",
        "counted in 23 s",
    ]


def test_what_fails_has_no_end():
    out = Console(file=io.StringIO(), width=100)
    with pytest.raises(KeyError, match="planted"), Counting(out, doing="counting"):
        raise KeyError("planted")
    assert out.file.getvalue().splitlines() == ["counting begins"]
