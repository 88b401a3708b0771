import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.statistics.superior_ability import superior_ability


def by_definition(gains, draws, examples):
    """Hansen 2005, section 3, alternative by alternative and draw by draw, for standard errors of the draws."""
    errors = [float(np.std(own)) for own in draws]
    ratios = [gain / error for gain, error in zip(gains, errors, strict=True)]
    threshold = -math.sqrt(2 * math.log(math.log(examples)))
    reached = [0] * len(gains)
    for draw in range(len(draws[0])):
        luckiest = 0.0
        for k, gain in enumerate(gains):
            recentred = draws[k][draw] - (gain if ratios[k] > threshold else 0.0)
            luckiest = max(luckiest, recentred / errors[k])
        for k, ratio in enumerate(ratios):
            reached[k] += luckiest >= ratio
    count = len(draws[0])
    return [(1 + each) / (1 + count) if ratio > 0 else 1.0 for each, ratio in zip(reached, ratios, strict=True)]


@given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from([20, 500, 10**6]))
def test_it_is_its_definition(seed, alternatives, examples):
    rng = np.random.default_rng(seed)
    gain_K = rng.normal(size=alternatives)
    gain_KD = gain_K[:, None] + rng.gamma(2, size=(alternatives, 1)) * rng.normal(size=(alternatives, 40))
    got_K = superior_ability(gain_K, gain_KD, examples=examples)
    assert got_K == pytest.approx(by_definition(gain_K.tolist(), gain_KD, examples))


def drawn(rng, errors_K, *, gain_K=0.0, draws=199):
    """Estimated gains of known standard errors, and draws around them."""
    estimated_K = gain_K + errors_K * rng.normal(size=len(errors_K))
    return estimated_K, estimated_K[:, None] + errors_K[:, None] * rng.normal(size=(len(errors_K), draws))


def test_where_none_is_better_it_says_so_in_5_percent_at_most():
    rng, rejected = np.random.default_rng(0), 0
    for _ in range(1000):
        rejected += superior_ability(*drawn(rng, np.array([1.0, 1, 1, 1, 5, 5, 5, 5])), examples=500).min() < 0.05
    # About 5%, and not many fewer: half of it would be a test that hides what there is.
    assert 25 <= rejected <= scipy.stats.binom.ppf(0.999, 1000, 0.05)


def test_a_noisy_alternative_does_not_hide_a_good_one():
    """White's check asks how large the largest gain gets, and the noisy ones get large."""
    rng, found, white = np.random.default_rng(1), 0, 0
    for _ in range(200):
        gain_K, gain_KD = drawn(rng, np.array([1.0, 5, 5, 5, 5]), gain_K=np.array([3.5, 0, 0, 0, 0]))
        found += superior_ability(gain_K, gain_KD, examples=500)[0] < 0.05
        white += np.mean((gain_KD - gain_K[:, None]).max(axis=0) >= gain_K.max()) < 0.05
    assert found > 0.75 * 200 > 5 * white


def test_what_is_clearly_worse_takes_no_part():
    rng = np.random.default_rng(2)
    gain_K, gain_KD = drawn(rng, np.ones(30), gain_K=np.array([2.0, *[-50.0] * 29]), draws=2000)
    alone_K = superior_ability(gain_K[:1], gain_KD[:1], examples=500)
    assert superior_ability(gain_K, gain_KD, examples=500)[0] == alone_K[0]


def test_what_never_differs_from_the_benchmark_is_not_better():
    """Equal up to rounding, which is no standard error to measure a gain in."""
    rng = np.random.default_rng(3)
    gain_KD = np.stack([1e-17 * rng.normal(size=99), np.zeros(99)])
    assert superior_ability(np.array([1e-16, 0.0]), gain_KD, examples=100).tolist() == [1.0, 1.0]


def test_a_gain_beyond_all_luck_has_the_smallest_p_value():
    rng = np.random.default_rng(4)
    gain_KD = np.array([[9.0], [-1.0]]) + rng.normal(size=(2, 99))
    assert superior_ability(np.array([9.0, -1.0]), gain_KD, examples=100).tolist() == [1 / 100, 1.0]
