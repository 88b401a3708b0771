"""What it is unsure of: histograms of the main set, right and wrong, and of every other set."""

from collections.abc import Iterator
from typing import Any

from ensemble_uq_llm.report.figures.uncertainty_histograms import Group, histogram_figure
from ensemble_uq_llm.report.source import ReportSource

_QUANTITIES = (("entropy", "entropy"), ("mutual_information", "mutual information"))
_KINDS = {"correct": "right answers", "wrong": "wrong answers", "unlabelled": "unlabelled"}


def uncertainty(source: ReportSource) -> dict[str, Any] | None:
    """Return one figure a quantity, on one axis for all sets; members that never differ have no second one."""
    figures = []
    for quantity, title in _QUANTITIES:
        block = source.main.get("histograms", {}).get(quantity)
        if block and (quantity == "entropy" or source.main["members"] > 1):
            groups = list(_groups(source, quantity))
            figures.append(histogram_figure(groups, quantity=title, upper=block["upper"]))
    return {"figures": figures, "several": source.main["members"] > 1} if figures else None


def _groups(source: ReportSource, quantity: str) -> Iterator[Group]:
    for name, metrics in source.sets.items():
        groups = metrics.get("histograms", {}).get(quantity, {}).get("groups", [])
        for group in [each for each in groups if each["n"] and _is_shown(each["kind"], main=name == source.name)]:
            is_main = name == source.name and group["kind"] != "all"
            yield Group(
                name=f"{_KINDS[group['kind']]}, {name}" if is_main else name,
                style=group["kind"] if is_main else "shifted",
                n=group["n"],
                mean=group["mean"],
                shares=group["shares"],
            )


def _is_shown(kind: str, *, main: bool) -> bool:
    """Return whether a group is a row: the main set's parts, and every other set as a whole."""
    return (kind != "all") == main
