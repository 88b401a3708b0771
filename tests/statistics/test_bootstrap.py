import numpy as np
import pytest

from ensemble_uq_llm.evaluation.quality import metrics
from ensemble_uq_llm.evaluation.quality.calibration import against_labels, ece
from ensemble_uq_llm.statistics.bootstrap import compare, resample, resample_together
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate
from ensemble_uq_llm.statistics.statistic import family_of, roc_area, weighted_mean


def rng(seed=0):
    return np.random.default_rng(seed)


def resampled(statistic, n, **settings):
    return resample(family_of({"it": statistic}), sizes=[n], **settings)


def estimated(statistic, n, **settings):
    return resampled(statistic, n, **settings).estimate("it")


def test_intervals_of_a_mean_match_the_normal_approximation():
    values_N = rng(1).normal(size=2000)
    estimate = estimated(weighted_mean(values_N), 2000, draws=4000)

    error = 1.96 * values_N.std() / np.sqrt(2000)
    assert estimate.value == pytest.approx(values_N.mean())
    assert estimate.ci95 == pytest.approx((values_N.mean() - error, values_N.mean() + error), abs=0.1 * error)


def draw_world(source, n):
    """Log-probabilities that are true, and labels drawn from them."""
    log_odds_N = 2.0 * source.normal(size=n)
    log_probs_NC = -np.logaddexp(0, np.stack([log_odds_N, -log_odds_N], axis=1))
    return log_probs_NC, (source.random(n) < np.exp(log_probs_NC[:, 1])).astype(np.int64)


def headline(log_probs_NC, labels_N):
    measured = (metrics.accuracy, metrics.auc, metrics.nll, metrics.brier)
    return family_of({each.__name__: each(log_probs_NC, labels_N) for each in measured})


def test_intervals_cover_the_true_value_95_times_in_100():
    """The true values are those of two million examples; 700 repetitions are 0.8 points fine (one sigma)."""
    true = resample(headline(*draw_world(rng(1), 2_000_000)), sizes=[2_000_000], draws=0).values
    source, covered = rng(2), dict.fromkeys(true, 0)
    for seed in range(700):
        drawn = resample(headline(*draw_world(source, 300)), sizes=[300], draws=200, seed=seed)
        for name, value in true.items():
            low, high = drawn.estimate(name).ci95
            covered[name] += low <= value <= high

    shares = {name: count / 700 for name, count in covered.items()}
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


def test_an_interval_holds_the_number_of_all_examples_more_often_than_that_of_another_sample():
    """It is a confidence interval. Another sample adds a spread of its own, so of those it holds about 83%."""
    source, of_all, of_another = rng(3), 0, 0
    for seed in range(300):
        values_2N = source.normal(size=(2, 150))
        low, high = estimated(weighted_mean(values_2N[0]), 150, draws=100, seed=seed).ci95
        of_all += low <= 0.0 <= high
        of_another += low <= values_2N[1].mean() <= high
    assert 0.9 <= of_all / 300 <= 0.98
    assert of_another / 300 == pytest.approx(0.834, abs=0.07)


def test_draws_resample_every_group_within_itself():
    first_N, values_N = np.arange(53) < 3, rng(1).normal(size=53)
    family = family_of({"share": weighted_mean(first_N), "mean": weighted_mean(values_N)})
    drawn = resample(family, sizes=[3, 50], draws=100)

    assert drawn.estimate("share").ci95 == pytest.approx((3 / 53, 3 / 53))
    assert np.ptp(drawn.estimate("mean").ci95) > 0.1


def test_the_seed_decides_the_draws():
    def interval(seed):
        return estimated(weighted_mean(rng(3).normal(size=40)), 40, draws=50, seed=seed).ci95

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_draws_without_one_class_are_left_out_and_counted():
    estimate = estimated(roc_area(np.arange(6.0), np.arange(6) == 0), 6, draws=1000)

    # The positive is missing from a draw of six with probability (5/6)^6 = 0.335, alone almost never.
    assert estimate.undefined_draws == pytest.approx(335, abs=60)
    assert (estimate.value, estimate.ci95) == (0.0, (0.0, 0.0))


def test_an_undefined_value_is_null_and_all_its_draws_are_counted():
    estimate = estimated(roc_area(np.arange(4.0), np.zeros(4, bool)), 4, draws=10)

    assert estimate == Estimate(value=None, ci95=None, undefined_draws=10)


@pytest.mark.parametrize(("examples", "draws"), [(1, 100), (5, 0)])
def test_one_example_or_no_draws_give_a_value_without_an_interval(examples, draws):
    drawn = resampled(weighted_mean(np.ones(examples)), examples, draws=draws)

    assert drawn.estimate("it") == Estimate(value=1.0, ci95=None)
    nothing = Comparison(value=0.5, ci95=None, p_value=None)
    assert compare(1.0, drawn.draws_D["it"], 0.5, drawn.draws_D["it"], examples=examples) == nothing


def test_centred_intervals_lie_around_the_calibration_error_and_plain_ones_too_high():
    source, values, intervals = rng(5), [], {False: [], True: []}
    for seed in range(200):
        p_yes_N = source.random(300)
        labels_N = (source.random(300) < p_yes_N).astype(int)
        statistic = against_labels(ece)(np.log(np.stack([1 - p_yes_N, p_yes_N], axis=1)), labels_N)
        drawn = resampled(statistic, 300, draws=200, seed=seed)
        for centred in intervals:
            intervals[centred].append(drawn.estimate("it", centred=centred).ci95)
        values.append(drawn.values["it"])

    expected = np.mean(values)
    assert 0.92 <= np.mean([low <= expected <= high for low, high in intervals[True]]) <= 0.995
    assert np.mean(intervals[True]) == pytest.approx(expected, rel=0.05)
    assert np.mean(intervals[False]) > 1.25 * expected
    assert any(value < low for value, (low, _) in zip(values, intervals[False], strict=True))
    assert all(low <= value <= high for value, (low, high) in zip(values, intervals[True], strict=True))
    assert np.min(intervals[True]) >= 0.0


def test_families_that_are_resampled_together_see_the_same_draws():
    values_N = rng(1).normal(size=30)
    alone = family_of({"mean": weighted_mean(values_N)})
    drawn = resample_together({"a": alone, ("b", 2): family_of({7: weighted_mean(-values_N)})}, sizes=[30], draws=20)

    assert list(drawn) == ["a", ("b", 2)]
    assert drawn["b", 2].values == {7: pytest.approx(-values_N.mean())}
    assert (drawn["a"].draws_D["mean"] == -drawn["b", 2].draws_D[7]).all()
    assert (drawn["a"].draws_D["mean"] == resample(alone, sizes=[30], draws=20).draws_D["mean"]).all()
    assert drawn["a"].estimates() == {"mean": drawn["a"].estimate("mean")}


def pair(seed, *, shift=0.0, n=120):
    """Two columns of values that share most of their noise."""
    source = rng(seed)
    common_N = source.normal(size=n)
    return common_N + 0.1 * source.normal(size=n) + shift, common_N + 0.1 * source.normal(size=n)


def compared(one_N, other_N, draws=200, **options):
    one, other = (resampled(weighted_mean(values_N), len(values_N), draws=draws) for values_N in (one_N, other_N))
    sides = (one.values["it"], one.draws_D["it"], other.values["it"], other.draws_D["it"])
    return compare(*sides, examples=one.examples, **options)


def test_two_calls_with_the_same_seed_are_paired():
    """The difference is as sure as its own values say, although either number alone is ten times less sure."""
    one_N, other_N = pair(1)
    paired = compared(one_N, other_N, draws=4000)

    error = 1.96 * (one_N - other_N).std() / np.sqrt(120)
    assert paired.value == pytest.approx((one_N - other_N).mean())
    assert np.ptp(paired.ci95) == pytest.approx(2 * error, rel=0.1)


def test_p_values_of_no_difference_are_evenly_spread():
    p_values = np.array([compared(*pair(seed)).p_value for seed in range(400)])

    # Four standard errors around the shares that an exact test would have.
    assert np.mean(p_values < 0.05) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 400))
    assert np.mean(p_values < 0.5) == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 400))


def test_a_clear_difference_has_the_smallest_p_value_that_the_draws_can_show():
    comparison = compared(*pair(1, shift=1.0), draws=99)

    assert (comparison.p_value, comparison.at_floor) == (pytest.approx(2 / 100), True)
    assert comparison.ci95[0] < comparison.value < comparison.ci95[1]


def test_what_does_not_differ_at_all_has_p_value_1():
    one_N, _ = pair(1)

    assert compared(one_N, one_N) == Comparison(value=0.0, ci95=(0.0, 0.0), p_value=1.0)


def test_an_undefined_number_cannot_be_compared():
    nothing = compare(np.nan, np.full(10, np.nan), 0.5, np.full(10, 0.5), examples=100)

    assert nothing == Comparison(value=None, ci95=None, p_value=None)


@pytest.mark.parametrize("examples", [2, 3, 10, 19])
def test_of_few_examples_no_difference_has_a_p_value(examples):
    """Resampling two examples that differ alike shows the same difference every time."""
    few = compared(np.ones(examples), np.zeros(examples))

    assert few == Comparison(value=1.0, ci95=(1.0, 1.0), p_value=None)
    assert compared(np.ones(20), np.zeros(20)).p_value == pytest.approx(2 / 201)


def test_examples_that_do_not_differ_are_no_evidence():
    """Of a hundred examples four differ, all to one side: 2 of 16 ways to flip their signs are as one-sided."""
    one_N = (np.arange(100) < 4).astype(float)
    told, plain = compared(one_N, np.zeros(100), differing=4), compared(one_N, np.zeros(100))

    assert plain.p_value < 0.1 < told.p_value
    assert (told.p_value, told.at_floor) == (2 / 2**4, False)  # which the exact p may exceed: it is no upper bound
