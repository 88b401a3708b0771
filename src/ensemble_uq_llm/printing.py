"""What the commands print: tables for people, JSON for programs. Like `cli.py` it imports nothing heavy at the top."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from ensemble_uq_llm.evaluation.records import SetMetrics


def console_for(*, as_json: bool) -> "Console":
    """Return the console for people: standard error while standard output carries JSON; text is shown as it is."""
    from rich.console import Console

    return Console(stderr=as_json, markup=False, emoji=False, highlight=False)


def print_json(value: Any) -> None:
    """Print a value for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201 (what a program reads)


def print_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """Print facts by name: one line each, or one JSON object."""
    if as_json:
        print_json(record)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in record.items():
        table.add_row(key.replace("_", " "), _shown(value))
    console_for(as_json=False).print(table)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_evaluations(
    sets: "Mapping[str, SetMetrics]", *, as_json: bool, class_labels: "Sequence[str] | None" = None
) -> None:
    """Print what is to be said of the evaluated sets, the first in full; for programs what their files hold.

    `class_labels` say how the classes are called, where that is known.
    """
    if as_json:
        from ensemble_uq_llm.evaluation import metrics_json

        print_json({name: metrics_json.as_json(metrics) for name, metrics in sets.items()})
        return
    from ensemble_uq_llm.report.terminal import headline_table, shift_table

    console = console_for(as_json=False)
    first = next(iter(sets))
    console.print(headline_table(first, sets[first], class_labels))
    if len(sets) > 1:
        console.print(shift_table(sets, class_labels))


def print_plain(sets: "Mapping[str, SetMetrics]", form: str) -> None:
    """Print the headline table of every set in a form to paste: markdown, latex, or csv (one table of all sets)."""
    from dataclasses import replace

    from ensemble_uq_llm.report.paste import FORMATS, headline_plain

    tables = [headline_plain(name, each, raw=form == "csv") for name, each in sets.items()]
    if form == "csv":
        tables = [replace(tables[0], rows=tuple(row for table in tables for row in table.rows))]
    print("\n\n".join(FORMATS[form](table).rstrip("\r\n") for table in tables))  # noqa: T201 (what a program reads)
