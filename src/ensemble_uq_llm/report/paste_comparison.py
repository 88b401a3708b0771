"""Compared runs as tables to paste, in the forms of `paste.FORMATS`."""

from ensemble_uq_llm.evaluation.protocol.protocols_beside import differences_in_words, protocol_lines
from ensemble_uq_llm.evaluation.records import RunComparison
from ensemble_uq_llm.report.paste import PlainTable
from ensemble_uq_llm.report.terminal import compared_metrics

RAW_HEADER = (
    *("a", "b", "metric", "value_a", "value_b", "difference", "ci95_low", "ci95_high", "p_value", "p_holm", "better"),
    *("protocol_a", "protocol_b", "protocols_differ_in", "protocol_known_of_one"),
)


def comparison_plain(a: str, b: str, result: RunComparison, *, raw: bool) -> PlainTable:
    """Return a comparison of the runs that `a` and `b` name.

    `raw` is for programs: full precision, a column for every bound, empty where undefined, both names in every row.
    """
    beside = result.protocols
    lines = protocol_lines(beside)
    if not raw:
        header, *rows = compared_metrics(result).texts
        footnotes = (*differences_in_words(beside), *lines)
        return PlainTable(title=f"A: {a}, B: {b}", header=header, rows=tuple(rows), footnotes=footnotes)
    protocols = (*lines, " ".join(beside.differs_in), " ".join(beside.known_of_one))
    rows = []
    for name, each in result.metrics.items():
        difference = each.difference
        low, high = difference.ci95 or (None, None)
        numbers = (each.a.value, each.b.value, difference.value, low, high, difference.p_value, difference.p_holm)
        cells = ("" if number is None else repr(number) for number in numbers)
        rows.append((a, b, name, *cells, each.better or "", *protocols))
    return PlainTable(title=f"A: {a}, B: {b}", header=RAW_HEADER, rows=tuple(rows))
