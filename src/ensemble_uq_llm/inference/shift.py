"""How well uncertainty tells a shifted set from the one that the ensemble was made for."""

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.inference.statistic import Statistic, roc_area
from ensemble_uq_llm.inference.uncertainty import Uncertainty


def uncertainty_scores(uncertainty: Uncertainty) -> dict[str, NDArray[np.float64]]:
    """Return every score of an example's uncertainty by its name; higher is less certain."""
    return {
        "entropy": uncertainty.entropy_N,
        "mutual_information": uncertainty.mutual_information_N,
        "variance": uncertainty.variance_N,
        "expected_entropy": uncertainty.expected_entropy_N,
        "disagreement": uncertainty.disagreement_N,
        "one_minus_confidence": 1.0 - uncertainty.confidence_N,
    }


def shift_statistics(shifted: Uncertainty, reference: Uncertainty) -> dict[str, Statistic]:
    """Return, by score, the AUROC with which it separates the shifted set (positive) from the reference.

    0.5 says that the score does not see the shift, 1 that every shifted example has more of it. The
    statistics expect weights for the shifted examples followed by those of the reference. Source: Hendrycks
    and Gimpel 2017 (arXiv:1610.02136).
    """
    positive_N = np.arange(len(shifted.entropy_N) + len(reference.entropy_N)) < len(shifted.entropy_N)
    ours, theirs = uncertainty_scores(shifted), uncertainty_scores(reference)
    return {name: roc_area(np.concatenate([ours[name], theirs[name]]), positive_N) for name in ours}
