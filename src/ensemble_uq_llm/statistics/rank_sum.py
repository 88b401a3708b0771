"""Are two groups of scores of one distribution: the rank-sum test of Mann, Whitney and Wilcoxon."""

from math import sqrt
from statistics import NormalDist

import numpy as np

from ensemble_uq_llm.statistics.statistic import Ranking


def rank_sum_p(ranking: Ranking) -> float:
    """Return the two-sided p-value that the marked scores are of the same distribution as the others.

    By the normal approximation with the correction for ties and for continuity, as scipy's `mannwhitneyu`: good for
    twenty scores a side and more. 1 where all scores are equal. Source: Mann and Whitney 1947, Annals of Mathematical
    Statistics 18:50.

    Args:
        ranking: the scores of both groups; each has at least one.
    """
    tally = ranking.tally(np.ones((1, len(ranking.order_N))))
    marked, n = float(tally.positives_D[0]), float(tally.n_D[0])
    pairs, ties_G = marked * (n - marked), tally.all_DG[0]
    spread = sqrt(pairs / 12 * max(0.0, n + 1 - float((ties_G**3 - ties_G).sum()) / (n * (n - 1))))
    distance = abs(float(tally.lost_pairs()[0]) - pairs / 2) - 0.5
    return min(1.0, 2 * NormalDist().cdf(-distance / spread)) if spread else 1.0
