"""ROC curves, thinned so that the area under them stays what it is."""

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.records import RocCurve
from ensemble_uq_llm.evaluation.scores import scores_to_rank
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
from ensemble_uq_llm.statistics.statistic import Ranking

STRETCHES = 25
"""Pieces that a long curve is thinned to, of two points each."""


def roc_curve(
    scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_], *, stretches: int = STRETCHES
) -> RocCurve | None:
    """Return the ROC curve of finding the positives by a score; None where all examples are positive, or none.

    Equal scores pass together, so ties are straight lines, and the area under the curve by trapezoids is the AUROC
    with ties counting half (Fawcett 2006, "An introduction to ROC analysis", sections 5 and 8). A longer curve is cut
    into stretches between points of its own; each is replaced by two straight lines that have its ends and its area.

    Args:
        scores_N: a higher one speaks for the positives.
        positive_N: which examples are to be found.
        stretches: how many of these there are at most.
    """
    tally = Ranking.ascending(-scores_N, positive_N).tally(np.ones((1, len(scores_N))))
    positives, negatives = tally.positives_D[0], tally.n_D[0] - tally.positives_D[0]
    if not positives or not negatives:
        return None
    found_G = np.concatenate([[0.0], tally.positive_up_to_DG[0]])
    mistaken_G = np.concatenate([[0.0], tally.all_up_to_DG[0]]) - found_G
    x_G, y_G = mistaken_G / negatives, found_G / positives
    if len(x_G) > 2 * stretches + 1:
        x_G, y_G = _thinned(x_G, y_G, stretches)
    return RocCurve(false_positive_rate=tuple(x_G.tolist()), true_positive_rate=tuple(y_G.tolist()))


def shift_roc_curves(shifted: Uncertainty, reference: Uncertainty) -> dict[str, RocCurve]:
    """Return, by score, the ROC curve of finding the shifted examples among those and the reference's."""
    ours, theirs = scores_to_rank(shifted, reference)
    shifted_N = np.arange(len(shifted.prediction_N) + len(reference.prediction_N)) < len(shifted.prediction_N)
    curves = {name: roc_curve(np.concatenate([ours[name], theirs[name]]), shifted_N) for name in ours}
    return {name: curve for name, curve in curves.items() if curve is not None}


def _thinned(
    x_G: NDArray[np.float64], y_G: NDArray[np.float64], stretches: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of stretches of equal length, and in each the corner that keeps its area.

    The corner lies on the falling diagonal of the stretch's box, so the curve stays rising and within its boxes.
    """
    along_G = x_G + y_G
    at = np.unique(np.searchsorted(along_G, np.linspace(0.0, 2.0, stretches + 1)).clip(max=len(along_G) - 1))
    area_G = np.concatenate([[0.0], np.cumsum(np.diff(x_G) * (y_G[1:] + y_G[:-1]) / 2)])
    width, height, area = np.diff(x_G[at]), np.diff(y_G[at]), np.diff(area_G[at])
    box = width * height
    # How much of the box lies below the curve: all of it where the curve first rises, none where it first runs on.
    below = np.divide(area - width * y_G[at][:-1], box, out=np.full_like(box, 0.5), where=box > 0).clip(0.0, 1.0)
    corner_x, corner_y = x_G[at][:-1] + (1 - below) * width, y_G[at][:-1] + below * height
    x = np.stack([x_G[at], np.append(corner_x, 1.0)], axis=1).ravel()[:-1]
    y = np.stack([y_G[at], np.append(corner_y, 1.0)], axis=1).ravel()[:-1]
    return x, y
