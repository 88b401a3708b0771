"""What it is unsure of: histograms of the main set, right and wrong, and of every other set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.report.figures.svg import Figure
from ensemble_uq_llm.report.figures.uncertainty_histograms import Group, histogram_figure
from ensemble_uq_llm.report.source import ReportSource

_MEASURES = {"entropy": "entropy", "mutual_information": "mutual information"}
_KINDS = {"correct": "right answers", "wrong": "wrong answers", "unlabelled": "unlabelled"}


@dataclass(frozen=True, kw_only=True)
class UnsureOf:
    """One figure a measure of uncertainty."""

    figures: Sequence[Figure]


def unsure_of(source: ReportSource) -> UnsureOf | None:
    """Return one figure a measure, on one axis for all sets; members that never differ have no second one."""
    histograms = source.main.histograms
    figures = [
        histogram_figure(list(_groups(source, name)), measure=title, upper=histograms[name].upper)
        for name, title in _MEASURES.items()
        if name in histograms and (name == "entropy" or source.main.several)
    ]
    return UnsureOf(figures=figures) if figures else None


def _groups(source: ReportSource, measure: str) -> Iterator[Group]:
    """Yield the rows: of the main set its parts, and every other set as a whole."""
    for name, metrics in source.sets.items():
        for group in metrics.histograms[measure].groups:
            is_part = group.kind != "all"
            if is_part != (name == source.name):
                continue
            yield Group(
                name=f"{_KINDS[group.kind]}, {name}" if is_part else name,
                style=group.kind if is_part else "shifted",
                n=group.n,
                mean=group.mean,
                shares=group.shares,
            )
