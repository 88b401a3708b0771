from itertools import product
from math import inf

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats

from posterior_bench.paired import MOST_FLIPPED, paired, sign_flips, t_distribution, t_quantile, with_holm


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 7, 9, 30])
def test_students_t_is_that_of_scipy(degrees):
    for t in (-3.0, -0.1, 0.0, 0.5, 2.0, 60.0):
        assert t_distribution(t, degrees) == pytest.approx(stats.t.cdf(t, degrees), abs=1e-13)
    assert t_distribution(inf, degrees) == pytest.approx(1, abs=1e-15)
    for probability in (0.6, 0.975, 0.999):
        assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-10)


def test_a_difference_is_a_t_test_over_training_sets():
    values = [0.1, 0.2, 0.05, 0.3, -0.02]
    found, expected = paired(values), stats.ttest_1samp(values, 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(found.ci95, expected.confidence_interval(0.95))
    assert found.mean == pytest.approx(0.126)
    assert found.sets == 5


def test_one_training_set_says_nothing():
    found = with_holm({"only": paired([0.5])})["only"]
    assert (found.ci95, found.p_value, found.p_holm, found.shows) == (None, None, None, False)


def test_equal_differences_are_sure_and_none_are_not():
    assert paired([0.25] * 5).p_value == 0
    assert paired([0.0] * 5).p_value == 1


def test_few_training_sets_have_no_verdict_however_alike():
    assert not with_holm({"alike": paired([1.0, 1.001, 1.0, 1.001])})["alike"].shows
    assert with_holm({"alike": paired([1.0, 1.001, 1.0, 1.001, 1.0])})["alike"].shows


def test_flipped_signs_are_counted_one_by_one():
    values = [0.1, 0.2, 0.05, 0.3, -0.02]
    means = [
        abs(sum(sign * each for sign, each in zip(signs, values, strict=True))) for signs in product((1, -1), repeat=5)
    ]
    assert sign_flips(values) == sum(each >= means[0] - 1e-12 for each in means) / 32
    assert sign_flips([1, 2, 3, 4, 5]) == 2 / 32  # the least that five sets can show
    assert sign_flips([0.0] * (MOST_FLIPPED + 1)) is None


def test_holm_adjusts_what_has_a_p_value():
    found = with_holm({"a": paired([1.0, 1.1, 0.9]), "b": paired([0.1, 0.3, -0.1]), "c": paired([2.0])})
    assert found["a"].p_holm == pytest.approx(2 * found["a"].p_value)
    assert found["b"].p_holm == pytest.approx(found["b"].p_value)
    assert found["c"].p_holm is None


def test_five_makers_worth_nothing_are_seldom_called_anything():
    rng, simulations = default_rng(0), 400
    adjusted = plain = 0
    for _ in range(simulations):
        own = rng.normal(size=5)  # of the baseline: the makers' differences hang together
        family = with_holm({maker: paired(rng.normal(size=5) - own) for maker in range(5)})
        adjusted += any(each.shows for each in family.values())
        plain += any(each.p_value < 0.05 for each in family.values())
    assert adjusted / simulations < 0.05 + 2 * (0.05 * 0.95 / simulations) ** 0.5
    assert plain / simulations > 0.08  # which an adjustment that is left out would give
