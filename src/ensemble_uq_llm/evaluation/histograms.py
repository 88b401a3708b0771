"""Histograms of uncertainty, on axes that are common to all evaluated sets."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.records import Histogram, HistogramGroup, HistogramKind
from ensemble_uq_llm.statistics.ties import bin_of

HISTOGRAM_BINS: Final = 28
HISTOGRAM_MEASURES: Final = ("mutual_information", "entropy")

_SHOWN = 99  # percent of the examples of every set
_ROUND_ENDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


def histogram_ends(sets: Sequence[Measured]) -> dict[str, float]:
    """Return a round upper end for each measure's axis that serves all sets: at most ln C, no longer than needed.

    In every set at most one example of a hundred lies beyond it; a few outliers would flatten all the others.
    """
    ends = {}
    for measure in HISTOGRAM_MEASURES:
        highest = max(float(np.percentile(getattr(each.uncertainty, f"{measure}_N"), _SHOWN)) for each in sets)
        possible = float(np.log(sets[0].classes))
        fitting = [end for end in _ROUND_ENDS if highest <= end < possible]
        ends[measure] = fitting[0] if fitting and highest > 0 else possible
    return ends


def histograms(measured: Measured, ends: Mapping[str, float]) -> dict[str, Histogram]:
    """Return, by measure, the shares of examples in 28 bins up to its end, of all and by how they were answered.

    What lies beyond the end is counted in the last bin.
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
            upper=end,
            groups=tuple(
                _group(kind, getattr(uncertainty, f"{measure}_N")[chosen_N], end)
                for kind, chosen_N in kinds.items()
                if chosen_N.any()
            ),
        )
        for measure, end in ends.items()
    }


def _group(kind: HistogramKind, values_N: NDArray[np.float64], end: float) -> HistogramGroup:
    edges = np.linspace(0.0, end, HISTOGRAM_BINS + 1)
    counts_H = np.bincount(bin_of(values_N, edges[1:-1]), minlength=HISTOGRAM_BINS)
    shares = tuple((counts_H / len(values_N)).tolist())
    return HistogramGroup(kind=kind, n=len(values_N), mean=float(values_N.mean()), shares=shares)
