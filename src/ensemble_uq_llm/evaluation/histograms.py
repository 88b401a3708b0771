"""Histograms of uncertainty, on axes that are common to all evaluated sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.records import Histogram, HistogramGroup, HistogramKind
from ensemble_uq_llm.statistics.ties import bin_of

HISTOGRAM_BINS: Final = 28
HISTOGRAM_MEASURES: Final = ("mutual_information", "entropy", "variance")

_BY_NATURE = ("mutual_information", "variance")
"""Squares of how far members differ, which spread over decades even where these are of one size."""

_SHOWN = 99  # percent of the examples of every set
_ROUND_ENDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
_DECADES = 6  # at most, of a logarithmic axis below its end's own
_ROUNDING = 1e-12  # what float64 leaves of uncertainties that are 0


@dataclass(frozen=True, kw_only=True)
class HistogramAxis:
    """The ends of a measure's axis; logarithmic where it begins above 0."""

    lower: float
    upper: float

    @property
    def edges(self) -> NDArray[np.float64]:
        """The ends of its bins."""
        if self.lower:
            return np.geomspace(self.lower, self.upper, HISTOGRAM_BINS + 1)
        return np.linspace(0.0, self.upper, HISTOGRAM_BINS + 1)


def histogram_axes(sets: Sequence[Measured]) -> dict[str, HistogramAxis]:
    """Return an axis with round ends for each measure, which serves all sets.

    Mutual information and variance have a logarithmic one, and so has entropy where it spans two decades; in every set
    at most one positive value of a hundred lies before it, unless that is more than six decades, and none beyond.
    A linear one ends at most at the highest possible value, and in every set at most one example of a hundred lies
    beyond; a few outliers would flatten all the others.
    """
    return {
        measure: _axis(measure, [_values(measure, each) for each in sets], sets[0].classes)
        for measure in HISTOGRAM_MEASURES
    }


def histograms(measured: Measured, axes: Mapping[str, HistogramAxis]) -> dict[str, Histogram]:
    """Return, by measure, the shares of examples in 28 bins along its axis, of all and by how they were answered.

    What lies beyond a linear axis is counted in the last bin, what lies before a logarithmic one apart.
    """
    predictions, uncertainty = measured.predictions, measured.uncertainty
    known_N = predictions.labelled_N
    right_N = known_N & (uncertainty.prediction_N == predictions.labels_N)
    kinds: dict[HistogramKind, NDArray[np.bool_]] = {
        "correct": right_N,
        "wrong": known_N & ~right_N,
        "unlabelled": ~known_N,
        "all": np.ones_like(known_N),
    }
    return {
        measure: Histogram(
            lower=axis.lower,
            upper=axis.upper,
            groups=tuple(
                _group(kind, _values(measure, measured)[chosen_N], axis)
                for kind, chosen_N in kinds.items()
                if chosen_N.any()
            ),
        )
        for measure, axis in axes.items()
    }


def _values(measure: str, measured: Measured) -> NDArray[np.float64]:
    values_N: NDArray[np.float64] = getattr(measured.uncertainty, f"{measure}_N")
    return values_N


def _axis(measure: str, values: Sequence[NDArray[np.float64]], classes: int) -> HistogramAxis:
    positive = [values_N[values_N > _ROUNDING] for values_N in values]
    positive = [values_N for values_N in positive if len(values_N)]
    possible = 0.25 if measure == "variance" else float(np.log(classes))
    if positive and (measure in _BY_NATURE or _spans_decades(np.concatenate(positive))):
        return _logarithmic(positive, possible)
    highest = max(float(np.percentile(values_N, _SHOWN)) for values_N in values)
    fitting = [end for end in _ROUND_ENDS if highest <= end < possible]
    return HistogramAxis(lower=0.0, upper=fitting[0] if fitting and highest > 0 else possible)


def _logarithmic(positive: Sequence[NDArray[np.float64]], possible: float) -> HistogramAxis:
    highest = max(float(values_N.max()) for values_N in positive)
    lowest = min(float(np.percentile(values_N, 100 - _SHOWN)) for values_N in positive)
    upper = next(end for end in _steps(highest) if end >= highest)
    end = ceil(log10(upper))
    first = min(max(floor(log10(lowest)), end - _DECADES), end - 1)
    return HistogramAxis(lower=10.0**first, upper=min(upper, possible))


def _steps(value: float) -> list[float]:
    power = 10.0 ** floor(log10(value))
    return [power, 2 * power, 5 * power, 10 * power, 20 * power]


def _spans_decades(positive_N: NDArray[np.float64]) -> bool:
    low, high = np.percentile(positive_N, [5, _SHOWN])
    return bool(high > 100 * low)


def _group(kind: HistogramKind, values_N: NDArray[np.float64], axis: HistogramAxis) -> HistogramGroup:
    shown_N = values_N[values_N >= axis.lower].clip(max=axis.upper)
    counts_H = np.bincount(bin_of(shown_N, axis.edges[1:-1]), minlength=HISTOGRAM_BINS)
    return HistogramGroup(
        kind=kind,
        n=len(values_N),
        mean=float(values_N.mean()),
        median=float(np.median(values_N)),
        shares=tuple((counts_H / len(values_N)).tolist()),
        below=(len(values_N) - len(shown_N)) / len(values_N),
    )
