import numpy as np
import pytest

from ensemble_uq_llm.inference import bootstrap as module
from ensemble_uq_llm.inference.bootstrap import Estimate, bootstrap
from ensemble_uq_llm.inference.metrics import ece
from ensemble_uq_llm.inference.statistic import roc_area, weighted_mean


def rng(seed=0):
    return np.random.default_rng(seed)


def test_intervals_of_a_mean_match_the_normal_approximation():
    values_N = rng(1).normal(size=2000)
    estimate = bootstrap({"mean": weighted_mean(values_N)}, sizes=[2000], draws=4000, rng=rng())["mean"]

    error = 1.96 * values_N.std() / np.sqrt(2000)
    assert estimate.value == pytest.approx(values_N.mean())
    assert estimate.ci95 == pytest.approx((values_N.mean() - error, values_N.mean() + error), abs=0.1 * error)


def test_intervals_cover_the_true_accuracy_about_95_times_in_100():
    source, covered = rng(2), 0
    for _ in range(400):
        correct_N = source.random(150) < 0.8
        low, high = bootstrap({"a": weighted_mean(correct_N)}, sizes=[150], draws=200, rng=source)["a"].ci95
        covered += low <= 0.8 <= high
    assert 0.91 <= covered / 400 <= 0.98


def test_draws_resample_every_group_within_itself():
    first_N, values_N = np.arange(53) < 3, rng(1).normal(size=53)
    statistics = {"share": weighted_mean(first_N), "mean": weighted_mean(values_N)}
    estimates = bootstrap(statistics, sizes=[3, 50], draws=100, rng=rng())

    assert estimates["share"].ci95 == pytest.approx((3 / 53, 3 / 53))
    assert np.ptp(estimates["mean"].ci95) > 0.1


def test_the_size_of_chunks_does_not_change_a_digit_of_the_draws(monkeypatch):
    statistics = {"a": weighted_mean(rng(3).normal(size=40))}
    whole = bootstrap(statistics, sizes=[40], draws=100, rng=rng())
    monkeypatch.setattr(module, "_CHUNK", 7 * 40)

    assert bootstrap(statistics, sizes=[40], draws=100, rng=rng())["a"].ci95 == pytest.approx(whole["a"].ci95)


def test_the_generator_decides_the_draws():
    def interval(seed):
        statistics = {"a": weighted_mean(rng(3).normal(size=40))}
        return bootstrap(statistics, sizes=[40], draws=50, rng=rng(seed))["a"].ci95

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_draws_without_one_class_are_left_out_and_counted():
    positive_N = np.arange(6) == 0
    estimate = bootstrap({"auc": roc_area(np.arange(6.0), positive_N)}, sizes=[6], draws=1000, rng=rng())["auc"]

    # The positive is missing from a draw of six with probability (5/6)^6 = 0.335, alone almost never.
    assert estimate.undefined_draws == pytest.approx(335, abs=60)
    assert estimate.as_json() == {
        "value": 0.0,
        "ci95": [0.0, 0.0],
        "undefined_draws": estimate.undefined_draws,
    }


def test_an_undefined_value_is_null_and_all_its_draws_are_counted():
    estimates = bootstrap({"auc": roc_area(np.arange(4.0), np.zeros(4, bool))}, sizes=[4], draws=10, rng=rng())

    assert estimates["auc"] == Estimate(value=None, ci95=None, undefined_draws=10)


@pytest.mark.parametrize(("examples", "draws"), [(1, 100), (5, 0)])
def test_one_example_or_no_draws_give_a_value_without_an_interval(examples, draws):
    estimates = bootstrap({"a": weighted_mean(np.ones(examples))}, sizes=[examples], draws=draws, rng=rng())

    assert estimates["a"].as_json() == {"value": 1.0, "ci95": None}


def test_centred_intervals_lie_around_the_calibration_error_and_plain_ones_too_high():
    source, values, intervals = rng(5), [], {"plain": [], "centred": []}
    for _ in range(200):
        p_yes_N = source.random(300)
        labels_N = (source.random(300) < p_yes_N).astype(int)
        statistic = ece(np.log(np.stack([1 - p_yes_N, p_yes_N], axis=1)), labels_N)
        for kind, centred in (("plain", ()), ("centred", {"ece"})):
            estimate = bootstrap({"ece": statistic}, sizes=[300], draws=200, rng=source, centred=centred)["ece"]
            intervals[kind].append(estimate.ci95)
        values.append(estimate.value)

    expected = np.mean(values)
    assert 0.92 <= np.mean([low <= expected <= high for low, high in intervals["centred"]]) <= 0.995
    assert np.mean(intervals["centred"]) == pytest.approx(expected, rel=0.05)
    assert np.mean(intervals["plain"]) > 1.25 * expected
    assert any(value < low for value, (low, _) in zip(values, intervals["plain"], strict=True))
    assert all(low <= value <= high for value, (low, high) in zip(values, intervals["centred"], strict=True))
    assert np.min(intervals["centred"]) >= 0.0
