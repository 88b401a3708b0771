"""What it is unsure of: histograms of every set, and entropy against mutual information."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.records import Histogram
from ensemble_uq_llm.report.figures.entropy_scatter import Cloud, scatter_figure
from ensemble_uq_llm.report.figures.svg import Figure
from ensemble_uq_llm.report.figures.uncertainty_histograms import Group, histogram_figure
from ensemble_uq_llm.report.source import ReportSource

_MEASURES = {"entropy": "nats", "mutual_information": "nats", "variance": ""}
"""The measures in the order of the page, and their units."""
_KINDS = {"correct": "right answers", "wrong": "wrong answers", "unlabelled": "unlabelled"}


@dataclass(frozen=True, kw_only=True)
class UnsureOf:
    """A figure a measure, on one axis for all sets, and both parts of the uncertainty of single examples."""

    histograms: Sequence[Figure]
    logarithmic: bool
    """Whether one of them has such an axis."""
    scatter: Figure | None
    """None of a single member."""


def unsure_of(source: ReportSource) -> UnsureOf | None:
    """Return the figures; members that never differ have the histogram of entropy alone. None where there is none."""
    main = source.main
    shown = [name for name in _MEASURES if name in main.histograms and (name == "entropy" or main.several)]
    if not shown:
        return None
    return UnsureOf(
        histograms=[_histograms(source, name) for name in shown],
        logarithmic=any(main.histograms[name].lower for name in shown),
        scatter=_scatter(source),
    )


def _histograms(source: ReportSource, name: str) -> Figure:
    histogram = source.main.histograms[name]
    return histogram_figure(
        list(_groups(source, name)),
        measure=name.replace("_", " "),
        lower=histogram.lower,
        upper=histogram.upper,
        unit=_MEASURES[name],
    )


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
                median=group.median,
                shares=group.shares,
                below=group.below,
            )


def _scatter(source: ReportSource) -> Figure | None:
    scatter, histograms = source.main.scatter, source.main.histograms
    if scatter is None:
        return None
    clouds = [
        Cloud(
            name=_KINDS[group.kind],
            style=group.kind,
            n=group.n,
            entropy=group.entropy,
            mutual_information=group.mutual_information,
        )
        for group in scatter.groups
    ]
    return scatter_figure(
        clouds,
        entropy=_ends(histograms["entropy"]),
        mutual_information=_ends(histograms["mutual_information"]),
    )


def _ends(histogram: Histogram) -> tuple[float, float]:
    return histogram.lower, histogram.upper
