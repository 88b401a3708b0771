import io

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ensemble_uq_llm.outgoing.safe_console import SafeConsole

HOSTILE = "a\x1b[2J\u202eb https://u:p@h"
SHOWN = r"a\x1b[2J\u202eb https://***@h"


def table(cell):
    made = Table(box=None)
    made.add_column(cell)
    made.add_row(cell)
    return made


@pytest.mark.parametrize(
    "thing",
    [HOSTILE, Text(HOSTILE, style="bold"), Group(HOSTILE), Group(Text(HOSTILE)), table(HOSTILE), table(Text(HOSTILE))],
    ids=["str", "text", "group", "group of texts", "table", "table of texts"],
)
@pytest.mark.parametrize("width", [60, 120])
def test_whatever_is_shown_is_safe(thing, width):
    stream = io.StringIO()
    SafeConsole(file=stream, width=width).print(thing)
    assert SHOWN in " ".join(stream.getvalue().split())  # a table gives a text the width that it had
    assert "\x1b" not in stream.getvalue()


def test_safe_text_keeps_its_colours_and_marks():
    stream = io.StringIO()
    SafeConsole(file=stream, force_terminal=True, color_system="standard").print(Text("[b]x[/b] :smile:", style="bold"))
    assert stream.getvalue() == "\x1b[1m[b]x[/b] :smile:\x1b[0m\n"
