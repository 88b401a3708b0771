"""How sure a risk-coverage curve is: at each of its coverages, the bootstrap interval of the risk."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.records import RiskCoverageCurve
from ensemble_uq_llm.statistics.bootstrap import Resampled
from ensemble_uq_llm.statistics.statistic import Family, Ranking


def risk_family(scores_N: NDArray[np.float64], wrong_N: NDArray[np.bool_], coverages: Sequence[float]) -> Family[int]:
    """Return the selective risks at some coverages, by their number.

    Where a threshold falls into a group of equal scores, the risk is the expectation over every order of the group.

    Args:
        scores_N: of at least one example; higher is less certain.
        wrong_N: whether the predicted class differs from the label.
        coverages: shares of the examples, each above 0.
    """
    ranking, coverage_P = Ranking.ascending(scores_N, wrong_N), np.array(coverages)

    def family(weights_DN: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
        kept = ranking.tally(weights_DN)
        # Within a group the expected errors grow evenly, so between groups they are interpolated.
        risk_DP = np.stack(
            [
                np.interp(coverage_P * kept_G[-1], np.append(0.0, kept_G), np.append(0.0, errors_G))
                for kept_G, errors_G in zip(kept.all_up_to_DG, kept.positive_up_to_DG, strict=True)
            ]
        ) / (coverage_P * kept.n_D[:, None])
        return {p: risk_DP[:, p] for p in range(len(coverage_P))}

    return family


def with_band(curve: RiskCoverageCurve, resampled: Resampled[int]) -> RiskCoverageCurve:
    """Return the curve with the 95% interval of each of its points; as it is without draws.

    Args:
        curve: of one score.
        resampled: the numbers of `risk_family` at the curve's coverages.
    """
    intervals = [estimate.ci95 for estimate in resampled.estimates().values()]
    ends = [interval for interval in intervals if interval is not None]
    if len(ends) < len(curve.risk):
        return curve
    low, high = zip(*ends, strict=True)
    return replace(curve, low=low, high=high)
