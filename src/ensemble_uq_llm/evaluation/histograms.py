"""The distributions that the report draws: accuracy by confidence, and histograms of uncertainty."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.quality.calibration import ECE_BINS, confidence_bin
from ensemble_uq_llm.evaluation.quality.noise_floor import consistency_band
from ensemble_uq_llm.evaluation.statistics.binomial import wilson_interval
from ensemble_uq_llm.evaluation.statistics.bootstrap import DRAWS

HISTOGRAM_BINS = 28
QUANTITIES = ("mutual_information", "entropy")

_SHOWN = 99  # percent of the examples of every set
_ROUND_ENDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


def reliability(measured: Measured, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Return the filled bins of the ECE: n, mean confidence, accuracy with its Wilson interval.

    `band95` is where the accuracy would lie in 95% of draws if the confidences were right (null without draws).
    """
    confidence_N, correct_N = measured.confidence_N, ~measured.wrong_N
    bin_N = confidence_bin(confidence_N)
    n_H = np.bincount(bin_N, minlength=ECE_BINS)
    confidence_H = np.bincount(bin_N, weights=confidence_N, minlength=ECE_BINS) / np.maximum(n_H, 1)
    correct_H = np.bincount(bin_N, weights=correct_N, minlength=ECE_BINS)
    band_H2 = consistency_band(confidence_N, draws=draws, seed=seed) if draws else None
    return {
        "bins": [
            {
                "low": h / ECE_BINS,
                "high": (h + 1) / ECE_BINS,
                "n": int(n_H[h]),
                "confidence": float(confidence_H[h]),
                "accuracy": float(correct_H[h] / n_H[h]),
                "ci95": list(wilson_interval(float(correct_H[h]), int(n_H[h]))),
                "band95": None if band_H2 is None else band_H2[h].tolist(),
            }
            for h in np.flatnonzero(n_H).tolist()
        ]
    }


def histogram_ends(sets: Sequence[Measured]) -> dict[str, float]:
    """Return a round upper end for each quantity's axis that serves all sets: at most ln C, no longer than needed.

    In every set at most one example of a hundred lies beyond it; a few outliers would flatten all the others.
    """
    ends = {}
    for quantity in QUANTITIES:
        highest = max(float(np.percentile(getattr(each.uncertainty, f"{quantity}_N"), _SHOWN)) for each in sets)
        possible = float(np.log(sets[0].classes))
        fitting = [end for end in _ROUND_ENDS if highest <= end < possible]
        ends[quantity] = fitting[0] if fitting and highest > 0 else possible
    return ends


def histograms(measured: Measured, ends: dict[str, float]) -> dict[str, Any]:
    """Return, by quantity, the shares of examples in 28 bins up to its end, of all and by how they were answered.

    What lies beyond the end is counted in the last bin.
    """
    predictions, uncertainty = measured.predictions, measured.uncertainty
    known_N = predictions.labelled_N
    right_N = known_N & (uncertainty.prediction_N == predictions.labels_N)
    kinds = {"correct": right_N, "wrong": known_N & ~right_N, "unlabelled": ~known_N, "all": np.ones_like(known_N)}
    return {
        quantity: {
            "upper": end,
            "groups": [
                _histogram(kind, getattr(uncertainty, f"{quantity}_N")[chosen_N], end)
                for kind, chosen_N in kinds.items()
                if chosen_N.any()
            ],
        }
        for quantity, end in ends.items()
    }


def _histogram(kind: str, values_N: NDArray[np.float64], end: float) -> dict[str, Any]:
    counts_H = np.histogram(values_N.clip(0.0, end), bins=HISTOGRAM_BINS, range=(0.0, end))[0]
    shares = (counts_H / len(values_N)).tolist()
    return {"kind": kind, "n": len(values_N), "mean": float(values_N.mean()), "shares": shares}
