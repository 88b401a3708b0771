"""Tables to paste: one neutral record, written as Markdown, LaTeX or CSV."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS, Metric
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.outgoing.redaction import redacted
from ensemble_uq_llm.outgoing.safe_text import safe_text
from ensemble_uq_llm.outgoing.spreadsheet_cells import csv_cell
from ensemble_uq_llm.report.formats import UNDEFINED, direction, show_interval, show_value
from ensemble_uq_llm.report.words.findings_in_words import findings_in_words
from ensemble_uq_llm.report.words.set_in_words import options_in_words

_MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in r"\|`*_<[~&$"} | {"\n": " "})
_LATEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "%&_#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    # A bracket after a row's end would be taken for the argument of the line break.
    | {"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}", "[": "{[}", "\n": " "}
    | {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "–": "--", "—": "---", "−": "$-$"}  # noqa: RUF001 (what ranges have, and negative numbers)
)


@dataclass(frozen=True, kw_only=True)
class PlainTable:
    """A table of text; its first column names the rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Each as long as the header."""
    notes: tuple[str, ...] = ()
    """What to know before the numbers; not for programs, so CSV leaves it out."""
    footnotes: tuple[str, ...] = ()
    """What stands below them: how they came about; of CSV that is a column."""


def headline_plain(
    name: str, metrics: SetMetrics, *, raw: bool, class_labels: Sequence[str] | None = None
) -> PlainTable:
    """Return the ensemble's metrics of one evaluated set, with their noise floors where there are some.

    Args:
        name: the set's name.
        metrics: what was measured of it; without labels there are no rows.
        raw: for programs: every metric in full precision, a column for every bound, empty where undefined, and the
            set named in every row, so that tables of several sets can be joined. Otherwise the headline metrics as
            their formats say.
        class_labels: how the classes are called; by their index without.
    """
    shown = [metric for metric in (METRICS if raw else HEADLINE) if metric.name in metrics.ensemble]
    if raw:
        header = (
            *("set", "metric", "ensemble", "ci95_low", "ci95_high", "members_mean", "noise_mean", "noise_p95"),
            *("constant_answer", "protocol"),
        )
        line = metrics.protocol_line
        rows = tuple((name, metric.name, *_raw_cells(metric, metrics), line) for metric in shown)
        return PlainTable(title=name, header=header, rows=rows)
    return PlainTable(
        title=name,
        header=(
            *("Metric", "Ensemble" if metrics.several else "Value", "95% interval"),
            *(["Mean member"] if metrics.several else []),
            *("One answer for all", "Noise floor", "Its 95th percentile"),
        ),
        rows=tuple((f"{m.title} {direction(m.higher_is_better)}", *_shown_cells(m, metrics)) for m in shown),
        notes=tuple(findings_in_words(metrics, class_labels)),
        footnotes=tuple(filter(None, (options_in_words(metrics), metrics.protocol_line))),
    )


def as_markdown(table: PlainTable) -> str:
    """Return the table in GitHub's Markdown, its title in bold above, the notes between, the footnotes below."""
    lines = [table.header, (":--", *["--:"] * (len(table.header) - 1)), *table.rows]
    cells = [[cell if line is lines[1] else _written(cell, _MARKDOWN) for cell in line] for line in lines]
    body = "".join(f"| {' | '.join(line)} |\n" for line in cells)
    notes = "".join(f"{_written(note, _MARKDOWN)}\n\n" for note in table.notes)
    below = "".join(f"\n{_written(note, _MARKDOWN)}\n" for note in table.footnotes)
    return f"**{_written(table.title, _MARKDOWN)}**\n\n{notes}{body}{below}"


def as_latex(table: PlainTable) -> str:
    """Return the table as a LaTeX float with rules of the package `booktabs`, its title as caption, notes below."""
    header, *rows = (
        " & ".join(_written(cell, _LATEX) for cell in line) + r" \\" for line in (table.header, *table.rows)
    )
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_written(table.title, _LATEX)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        *(r"\toprule", header, r"\midrule", *rows, r"\bottomrule"),
        r"\end{tabular}",
        *(rf"\par\smallskip {_written(note, _LATEX)}" for note in (*table.notes, *table.footnotes)),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def as_csv(table: PlainTable) -> str:
    """Return header and rows as CSV, without the title."""
    stream = io.StringIO()
    lines = ([csv_cell(redacted(cell)) for cell in line] for line in (table.header, *table.rows))
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()


FORMATS: Mapping[str, Callable[[PlainTable], str]] = MappingProxyType(
    {"markdown": as_markdown, "latex": as_latex, "csv": as_csv}
)
"""The forms of a table, by the names that the command line knows."""


def _written(text: str, marks: Mapping[int, str]) -> str:
    return safe_text(text, keep="\n").translate(marks)


def _raw_cells(metric: Metric, metrics: SetMetrics) -> list[str]:
    estimate, mean = metrics.ensemble[metric.name], metrics.members_mean.get(metric.name)
    interval, floor = estimate.ci95 or (None, None), estimate.noise_floor
    numbers = [
        *(estimate.value, *interval),
        mean.value if mean else None,  # not every metric is computed for members
        *((floor.mean, floor.p95) if floor else (None, None)),
        _of_constant_answers(metric, metrics),
    ]
    return ["" if number is None else repr(number) for number in numbers]


def _shown_cells(metric: Metric, metrics: SetMetrics) -> list[str]:
    estimate, form = metrics.ensemble[metric.name], metric.format
    floor = estimate.noise_floor
    return [
        show_value(estimate.value, form),
        show_interval(estimate.ci95, form),
        *([show_value(metrics.members_mean[metric.name].value, form)] if metrics.several else []),
        show_value(_of_constant_answers(metric, metrics), form),
        *((show_value(floor.mean, form), show_value(floor.p95, form)) if floor else (UNDEFINED, UNDEFINED)),
    ]


def _of_constant_answers(metric: Metric, metrics: SetMetrics) -> float | None:
    """Return what one answer for all examples would earn; None where that is not measured."""
    beside = metrics.constant_answers.metrics.get(metric.name) if metrics.constant_answers else None
    return beside.value.value if beside else None
