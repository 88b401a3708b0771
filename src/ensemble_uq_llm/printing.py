"""What the commands print: tables for people, JSON for programs. Like `cli.py` it imports nothing heavy at the top."""

import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ensemble_uq_llm.commands.streams import can_show
from ensemble_uq_llm.outgoing.redaction import without_secrets
from ensemble_uq_llm.outgoing.safe_text import safe_text
from ensemble_uq_llm.outgoing.visible import visible_json

if TYPE_CHECKING:
    from rich.console import Console

    from ensemble_uq_llm.evaluation.records import SetMetrics
    from ensemble_uq_llm.report.paste import PlainTable

_LEAST_VALUE: Final = 24
"""Columns stand beside each other where the last has at least so much room, or all that it needs."""


def console_for(*, as_json: bool) -> "Console":
    """Return the console for people: standard error while standard output carries JSON; text is shown as it is."""
    from ensemble_uq_llm.outgoing.safe_console import SafeConsole

    return SafeConsole(stderr=as_json)


def print_json(value: Any) -> None:
    """Print a value for programs: valid JSON whatever the encoding of standard output, exact but for secrets."""
    value = without_secrets(value)
    text = visible_json(json.dumps(value, indent=2, ensure_ascii=False))
    print(text if can_show(text) else json.dumps(value, indent=2))  # noqa: T201 (what a program reads)


def print_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """Print facts by name: one line each, or one JSON object."""
    if as_json:
        print_json(record)
    else:
        print_rows([(key.replace("_", " "), _shown(value)) for key, value in record.items()])


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of texts in columns; where they have no room, the first text alone and the others below it.

    Lines break between words only. Where nobody looks on (no terminal, no COLUMNS) they do not break at all.
    """
    console = console_for(as_json=False)
    rows = [[safe_text(text, keep="\n") for text in row] for row in rows]
    room = console.width if console.is_terminal or "COLUMNS" in os.environ else None
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    hang = sum(widths[:-1]) + 2 * len(widths[:-1])
    beside = room is None or hang + min(widths[-1], _LEAST_VALUE) <= room
    for first, *others in rows:
        if beside:
            head = "".join(f"{text:<{width + 2}}" for text, width in zip([first, *others][:-1], widths, strict=False))
            lines = _broken(others[-1], None if room is None else room - hang)
            text = head + f"\n{' ' * hang}".join(lines)
        else:
            text = "\n".join([first, *(f"  {line}" for other in others for line in _broken(other, (room or 0) - 2))])
        print("\n".join(line.rstrip() for line in text.splitlines()))  # noqa: T201 (tables for people)


def _broken(text: str, room: int | None) -> list[str]:
    if room is None or len(text) <= room:
        return [text]
    return textwrap.wrap(text, max(room, 1), break_long_words=False, break_on_hyphens=False) or [""]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_evaluations(
    sets: "Mapping[str, SetMetrics]", *, as_json: bool, class_labels: "Sequence[str] | None" = None
) -> None:
    """Print what is to be said of the evaluated sets, the first in full; for programs what their files hold.

    `class_labels` say how the classes are called, where that is known.
    """
    if as_json:
        from ensemble_uq_llm.evaluation.files import metrics_json

        print_json({name: metrics_json.as_json(metrics) for name, metrics in sets.items()})
        return
    from ensemble_uq_llm.report.terminal import headline_table, shift_table

    console = console_for(as_json=False)
    first = next(iter(sets))
    console.print(headline_table(first, sets[first], class_labels))
    if len(sets) > 1:
        console.print(shift_table(sets, class_labels))


def print_plain(sets: "Mapping[str, SetMetrics]", form: str, *, class_labels: "Sequence[str] | None" = None) -> None:
    """Print the headline table of every set in a form to paste: markdown, latex, or csv (one table of all sets).

    `class_labels` say how the classes are called, where that is known.
    """
    from ensemble_uq_llm.report.paste import headline_plain

    raw = form == "csv"
    tables = [headline_plain(name, each, raw=raw, class_labels=class_labels) for name, each in sets.items()]
    print_tables(tables, form)


def print_tables(tables: "Sequence[PlainTable]", form: str) -> None:
    """Print tables in a form to paste; as csv they are one table, and have one header."""
    from dataclasses import replace

    from ensemble_uq_llm.report.paste import FORMATS

    if form == "csv":
        tables = [replace(tables[0], rows=tuple(row for table in tables for row in table.rows))]
    print("\n\n".join(FORMATS[form](table).rstrip("\r\n") for table in tables))  # noqa: T201 (what a program reads)


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning in one form: what `warnings.showwarning` becomes."""
    text = safe_text(str(message), keep="\n")
    print(f"warning: {text}", file=sys.stderr)  # noqa: T201 (the command line's own voice)
