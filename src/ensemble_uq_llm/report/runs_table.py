"""Several runs beside each other as tables, for the terminal and to paste."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from ensemble_uq_llm.evaluation.beside.quantities import QUALITY, quantities
from ensemble_uq_llm.evaluation.protocol.protocol_in_words import protocol_line
from ensemble_uq_llm.evaluation.protocol.protocols_beside import differences_in_words
from ensemble_uq_llm.evaluation.records import BesideBaseline, RunBeside, RunsBeside
from ensemble_uq_llm.evaluation.scores import Quantity
from ensemble_uq_llm.report.fitting_table import FittingTable
from ensemble_uq_llm.report.formats import UNDEFINED, direction, show_range, show_value
from ensemble_uq_llm.report.paste import PlainTable
from ensemble_uq_llm.report.words.runs_in_words import (
    claims_in_words,
    fitting_in_words,
    names_in_words,
    one_member_in_words,
)
from ensemble_uq_llm.statistics.intervals import Interval
from ensemble_uq_llm.statistics.significance import p_in_words

_UNKNOWN: Final = "?"


def runs_tables(table: RunsBeside) -> RenderableType:
    """Return all that is to be said of several runs."""
    parts: list[RenderableType] = [Text(f"Warning: {each}.") for each in table.warnings]
    parts += [Text(line) for line in names_in_words(table)]
    for title, made in _tables(table):
        parts += [Text(f"\n{title}", style="bold"), made]
    parts += [Text(line) for line in (*claims_in_words(table), *fitting_in_words(table))]
    parts += [Text(f"Beware of {run.facts.name}: {each}.") for run in table.runs for each in run.cautions]
    return Group(*parts, *(Text(line, style="dim") for line in _protocols(table)))


def runs_plain(table: RunsBeside) -> list[PlainTable]:
    """Return the same tables to paste; the first with what is to be known before, the last with what comes after."""
    made = list(_tables(table))
    cautions = [f"Beware of {run.facts.name}: {each}." for run in table.runs for each in run.cautions]
    before = (*(f"Warning: {each}." for each in table.warnings), *cautions)
    after = (*claims_in_words(table), *fitting_in_words(table), *_protocols(table))
    plain = []
    for at, (title, each) in enumerate(made):
        header, *rows = (tuple(_on_a_line(cell) for cell in line) for line in each.texts)
        notes, last = before if at == 0 else (), at == len(made) - 1
        footnotes = after if last else ()
        plain.append(PlainTable(title=title, header=header, rows=tuple(rows), notes=notes, footnotes=footnotes))
    return plain


def _tables(table: RunsBeside) -> Iterator[tuple[str, FittingTable]]:
    """Yield every table with its title."""
    baseline, *others = table.runs
    yield "What they are", _facts(table.runs)
    yield f"On {table.n:,} examples, with 95% intervals", _quality(table.runs)
    if table.shifted:
        sets = ", ".join(f"{name} ({n:,})" for name, n in table.shifted.items())
        yield f"AUROC: how well shifted sets are told, of {sets}", _detection(table, table.runs)
    if any(run.one_member for run in table.runs):
        yield one_member_in_words(table), _one_member(table)
    yield f"Difference from {baseline.facts.name}, 95% interval, p (Holm)", _differences(table, others)


def _facts(runs: Sequence[RunBeside]) -> FittingTable:
    table = FittingTable("Run", "Maker", "Trained members", "Samples of each", "Passes", "Training, s", "Making, s")
    for run in runs:
        facts = run.facts
        members = _UNKNOWN if facts.trained_members is None else f"{facts.trained_members:,}"
        samples = UNDEFINED if facts.samples is None else f"{facts.samples:,}"
        seconds = [UNDEFINED if s is None else f"{s:,.1f}" for s in (facts.training_seconds, facts.making_seconds)]
        table.add_row(facts.name, facts.maker or _UNKNOWN, members, samples, f"{facts.passes:,}", *seconds)
    return table


def _quality(runs: Sequence[RunBeside]) -> FittingTable:
    titles = [f"{each.title} {direction(each.higher_is_better)}" for each in QUALITY]
    at = [each.name for each in QUALITY].index("ece") + 1
    table = FittingTable("Run", *titles[:at], "ECE without noise", "ECE if calibrated", *titles[at:])
    for run in runs:
        cells = [_estimate(run, each) for each in QUALITY]
        ece = run.metrics["ece"]
        debiased = ece.debiased
        free = _stacked(debiased.value, debiased.ci95, ".3f") if debiased is not None else UNDEFINED
        floor = ece.noise_floor
        calibrated = UNDEFINED if floor is None else f"{floor.mean:.3f}\nup to {floor.p95:.3f}"
        table.add_row(run.facts.name, *cells[:at], free, calibrated, *cells[at:])
    return table


def _detection(table: RunsBeside, runs: Sequence[RunBeside]) -> FittingTable:
    shown = quantities(table.shifted)[len(QUALITY) :]
    return _of_quantities(shown, runs, _estimate)


def _one_member(table: RunsBeside) -> FittingTable:
    shown = [each for each in quantities(table.shifted) if not each.name.startswith("auroc.mutual_information.")]

    def mean(run: RunBeside, each: Quantity) -> str:
        return show_value(run.one_member.get(each.name), each.format)

    return _of_quantities(shown, [run for run in table.runs if run.one_member], mean)


def _differences(table: RunsBeside, others: Sequence[RunBeside]) -> FittingTable:
    def cell(run: RunBeside, each: Quantity) -> str:
        difference = run.differences.get(each.name)
        return UNDEFINED if difference is None else _difference(difference, each.format)

    return _of_quantities(quantities(table.shifted), others, cell)


def _of_quantities(
    shown: Sequence[Quantity], runs: Sequence[RunBeside], cell: Callable[[RunBeside, Quantity], str]
) -> FittingTable:
    table = FittingTable("Run", *(f"{each.title} {direction(each.higher_is_better)}" for each in shown))
    for run in runs:
        table.add_row(run.facts.name, *(cell(run, each) for each in shown))
    return table


def _estimate(run: RunBeside, each: Quantity) -> str:
    estimate = run.metrics.get(each.name)
    return UNDEFINED if estimate is None else _stacked(estimate.value, estimate.ci95, each.format)


def _stacked(value: float | None, interval: Interval | None, form: str) -> str:
    """Return a value with its interval below."""
    return "\n".join([show_value(value, form), *([show_range(interval, form)] if interval else [])])


def _difference(difference: BesideBaseline, form: str) -> str:
    if difference.value is None:
        return UNDEFINED
    # A difference of shares is no share: it is shown in points of a percent.
    scale, signed, unit = (100, f"+{form[:-1]}f", " pt") if form.endswith("%") else (1, f"+{form}", "")
    lines = [format(scale * difference.value, signed) + unit]
    if difference.ci95 is not None:
        lines.append(" to ".join(format(scale * end, signed) for end in difference.ci95))
    if difference.p_holm is not None:
        won = {True: " better", False: " worse", None: ""}[difference.is_better]
        lines.append(p_in_words(difference.p_holm, at_floor=difference.at_floor) + won)
    return "\n".join(lines)


def _on_a_line(cell: str) -> str:
    first, *others = cell.splitlines() or [""]
    return f"{first} ({'; '.join(others)})" if others else first


def _protocols(table: RunsBeside) -> Iterator[str]:
    baseline, *others = table.runs
    yield protocol_line(baseline.protocols.b, of=f"Protocol of {baseline.facts.name}")
    for run in others:
        yield from differences_in_words(run.protocols, (baseline.facts.name, run.facts.name))
