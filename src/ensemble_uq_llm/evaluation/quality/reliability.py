"""Accuracy by confidence: are answers of 80% confidence right in 80 of 100 cases?"""

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.calibration import ECE_BINS, confidence_bin
from ensemble_uq_llm.evaluation.quality.noise_floor import consistency_band
from ensemble_uq_llm.evaluation.records import Reliability, ReliabilityBin
from ensemble_uq_llm.statistics.binomial import wilson_interval
from ensemble_uq_llm.statistics.bootstrap import DRAWS


def reliability(
    confidence_N: NDArray[np.float64], correct_N: NDArray[np.bool_], *, draws: int = DRAWS, seed: int = 0
) -> Reliability:
    """Return the filled bins of the ECE, from the lowest confidence up.

    Args:
        confidence_N: the predicted classes' probabilities.
        correct_N: whether the answer is right.
        draws: of the bands in which a calibrated predictor's accuracy would lie; 0 for none.
        seed: of these draws.
    """
    bin_N = confidence_bin(confidence_N)
    n_H = np.bincount(bin_N, minlength=ECE_BINS)
    confidence_H = np.bincount(bin_N, weights=confidence_N, minlength=ECE_BINS) / np.maximum(n_H, 1)
    correct_H = np.bincount(bin_N, weights=correct_N, minlength=ECE_BINS)
    band_H2 = consistency_band(confidence_N, draws=draws, seed=seed) if draws else None
    return Reliability(
        bins=tuple(
            ReliabilityBin(
                low=h / ECE_BINS,
                high=(h + 1) / ECE_BINS,
                n=int(n_H[h]),
                confidence=float(confidence_H[h]),
                accuracy=float(correct_H[h] / n_H[h]),
                ci95=wilson_interval(float(correct_H[h]), int(n_H[h])),
                band95=None if band_H2 is None else (float(band_H2[h, 0]), float(band_H2[h, 1])),
            )
            for h in np.flatnonzero(n_H).tolist()
        )
    )
