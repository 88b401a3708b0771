import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest

from ensemble_uq_llm.statistics.binomial import at_least, at_most, clopper_pearson, wilson_interval


def beta_quantiles(successes, trials):
    low = beta.ppf(0.025, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(0.975, successes + 1, trials - successes) if successes < trials else 1.0
    return low, high


@pytest.mark.parametrize("trials", [1, 2, 7, 100, 3270, 100_000, 1_000_000])
@pytest.mark.parametrize("share", [0.0, 1e-6, 0.001, 0.1, 0.5, 0.93, 0.9999, 1.0])
def test_the_exact_interval_agrees_with_scipy(share, trials):
    successes = round(share * trials)

    assert clopper_pearson(successes, trials) == pytest.approx(beta_quantiles(successes, trials), abs=1e-9)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_both_intervals_agree_with_the_binomial_test(case):
    test = binomtest(*case)

    assert clopper_pearson(*case) == pytest.approx(test.proportion_ci(method="exact"), abs=1e-9)
    assert wilson_interval(*case) == pytest.approx(test.proportion_ci(method="wilson"), abs=1e-12)


@given(st.integers(2, 500).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n))))
def test_the_ends_of_the_exact_interval_leave_a_fortieth_on_each_side(case):
    successes, trials = case
    low, high = clopper_pearson(successes, trials)

    assert binom.sf(successes - 1, trials, low) == pytest.approx(0.025, rel=1e-8)
    assert binom.cdf(successes, trials, high) == pytest.approx(0.025, rel=1e-8)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_the_exact_interval_covers_at_least_as_often_as_promised(share):
    covering = [k for k in range(61) if clopper_pearson(k, 60)[0] <= share <= clopper_pearson(k, 60)[1]]

    assert binom.pmf(covering, 60, share).sum() >= 0.95


def test_extremes():
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))
    assert clopper_pearson(10, 10) == pytest.approx((0.025 ** (1 / 10), 1.0))
    assert clopper_pearson(0, 0) == wilson_interval(0, 0) == (0.0, 1.0)
    assert clopper_pearson(0, 5)[0] == 0.0
    assert clopper_pearson(5, 5)[1] == 1.0


def test_wilson_takes_fractions_of_a_success():
    low, high = wilson_interval(2.5, 10)

    assert wilson_interval(2, 10)[0] < low < wilson_interval(3, 10)[0]
    assert wilson_interval(2, 10)[1] < high < wilson_interval(3, 10)[1]


@pytest.mark.parametrize("interval", [clopper_pearson, wilson_interval])
@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2), (0, -1)])
def test_impossible_counts(interval, successes, trials):
    with pytest.raises(ValueError, match=f"{successes} successes in {trials} trials are impossible"):
        interval(successes, trials)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.001, 0.999))
def test_the_tails_agree_with_scipy(case, share):
    assert at_most(*case, share) == pytest.approx(binom.cdf(*case, share), rel=1e-8, abs=1e-12)
    assert at_least(*case, share) == pytest.approx(binom.sf(case[0] - 1, case[1], share), rel=1e-8, abs=1e-12)


def test_small_tails_have_their_digits():
    assert at_most(3, 10_000, 0.01) == pytest.approx(binom.cdf(3, 10_000, 0.01), rel=1e-9)
    assert at_most(0, 500, 0.1) == pytest.approx(0.9**500, rel=1e-9)


@pytest.mark.parametrize(("case", "message"), [((3, 2, 0.5), "3 successes in 2 trials"), ((1, 2, 1.0), "a share of 1")])
def test_impossible_tails_are_refused(case, message):
    with pytest.raises(ValueError, match=message):
        at_most(*case)
