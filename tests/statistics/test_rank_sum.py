import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.statistics.rank_sum import rank_sum_p
from ensemble_uq_llm.statistics.statistic import Ranking

scores = st.lists(st.integers(0, 12), min_size=1, max_size=60)


def p_of(marked, others):
    scores_N = np.concatenate([np.asarray(marked, dtype=np.float64), np.asarray(others, dtype=np.float64)])
    return rank_sum_p(Ranking.ascending(scores_N, np.arange(len(scores_N)) < len(marked)))


@given(scores, scores)
def test_it_agrees_with_scipy_ties_and_all(marked, others):
    if len({*marked, *others}) == 1:
        assert p_of(marked, others) == 1.0
        return
    expected = scipy.stats.mannwhitneyu(marked, others, method="asymptotic", use_continuity=True).pvalue
    assert p_of(marked, others) == pytest.approx(expected)
    assert p_of(others, marked) == pytest.approx(expected)


def test_of_one_distribution_it_is_small_as_often_as_it_should_be():
    rng = np.random.default_rng(0)
    p_values = [p_of(rng.normal(size=20), rng.normal(size=50)) for _ in range(600)]

    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.065


def test_two_scores_are_no_evidence():
    assert p_of([1.0], [0.0]) == 1.0
