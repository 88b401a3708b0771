"""Differences of several runs from one baseline, each metric's p-values adjusted for the number of runs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from ensemble_uq_llm.evaluation.beside.quantities import quantities
from ensemble_uq_llm.evaluation.records import BesideBaseline
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.significance import SIGNIFICANCE_LEVEL, holm


def adjusted_by_metric(
    changes: Mapping[str, Mapping[str, Comparison]], shifted_sets: Iterable[str]
) -> dict[str, dict[str, BesideBaseline]]:
    """Return the differences by run and metric, adjusted by Holm's method for the runs, each metric by itself.

    Over all metrics at once it would be an adjustment for a hundred comparisons, which no number of draws that anybody
    waits for passes; and a reader looks for one metric at a time.
    """
    adjusted: dict[str, dict[str, BesideBaseline]] = {name: {} for name in changes}
    for quantity in quantities(shifted_sets):
        of_metric = {name: each[quantity.name] for name, each in changes.items() if quantity.name in each}
        known = {name: each.p_value for name, each in of_metric.items() if each.p_value is not None}
        p_holm = dict(zip(known, holm(list(known.values())), strict=True))
        for name, each in of_metric.items():
            is_better = _is_better(each, p_holm.get(name), higher_is_better=bool(quantity.higher_is_better))
            adjusted[name][quantity.name] = BesideBaseline(**asdict(each), p_holm=p_holm.get(name), is_better=is_better)
    return adjusted


def _is_better(difference: Comparison, p_holm: float | None, *, higher_is_better: bool) -> bool | None:
    if difference.ci95 is None or p_holm is None or p_holm >= SIGNIFICANCE_LEVEL:
        return None
    low, high = difference.ci95
    return None if low <= 0 <= high else (low > 0) == higher_is_better
