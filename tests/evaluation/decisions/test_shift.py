import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.decisions.shift import (
    DETECTION_NUMBERS,
    detection_score,
    judge_together,
    measure_shift,
    separation_family,
)
from ensemble_uq_llm.evaluation.scores import SCORES, uncertainty_scores
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.statistics.bootstrap import resample
from ensemble_uq_llm.statistics.statistic import values_of
from small_predictions import predicted


def detected(shifted, reference, *, members=4, draws=0):
    return measure_shift(shifted, reference, members=members, name="usual", change={}, draws=draws, seed=0)


def values(shifted, reference):
    """Every score's numbers, by score."""
    numbers = detected(shifted, reference).numbers
    return {score.name: {name: numbers[name][score.name].value for name in numbers} for score in SCORES}


def measured(**world):
    return measure_uncertainty(predicted(**world).logits_MNC)


def by_scikit_learn(shifted_S, reference_R, weights_N=None):
    scores_N = np.concatenate([shifted_S, reference_R])
    is_shifted_N = np.arange(len(scores_N)) < len(shifted_S)
    weighted = {"sample_weight": weights_N}
    false_T, true_T, _ = sklearn.metrics.roc_curve(~is_shifted_N, -scores_N, drop_intermediate=False, **weighted)
    return {
        "auroc": sklearn.metrics.roc_auc_score(is_shifted_N, scores_N, **weighted),
        "aupr_in": sklearn.metrics.average_precision_score(~is_shifted_N, -scores_N, **weighted),
        "aupr_out": sklearn.metrics.average_precision_score(is_shifted_N, scores_N, **weighted),
        "fpr95": false_T[true_T >= 0.95][0],
    }


def separation(shifted, reference):
    family = separation_family(np.array(shifted, dtype=np.float64), np.array(reference, dtype=np.float64))
    return values_of(family, len(shifted) + len(reference))


@pytest.mark.parametrize("members", [1, 4])
def test_every_score_agrees_with_scikit_learn(members):
    shifted, usual = measured(n=70, seed=1, noise=3.0, members=members), measured(n=90, seed=2, members=members)
    got = values(shifted, usual)

    assert list(detected(shifted, usual).numbers) == [quantity.name for quantity in DETECTION_NUMBERS]
    for name, shifted_S in uncertainty_scores(shifted).items():
        expected = by_scikit_learn(shifted_S, uncertainty_scores(usual)[name])
        assert got[name] == pytest.approx(expected), name


def test_a_shift_is_seen():
    shifted, usual = measured(n=70, seed=1, noise=3.0), measured(n=90, seed=2)
    got, shift = values(shifted, usual), detected(shifted, usual, draws=30)

    assert got["mutual_information"]["auroc"] > 0.7
    assert got["mutual_information"]["aupr_in"] > 90 / 160
    assert got["mutual_information"]["aupr_out"] > 70 / 160
    assert got["mutual_information"]["fpr95"] < 0.95
    assert shift.detection.score == "mutual_information"
    assert shift.detection.auroc == shift.numbers["auroc"]["mutual_information"]
    assert shift.detection.seen == "less_sure"
    low, high = shift.numbers["auroc"]["mutual_information"].ci95
    assert low < got["mutual_information"]["auroc"] < high


graded = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=30)


@given(graded, graded)
def test_weights_and_ties_agree_with_scikit_learn(shifted, reference):
    shifted_S, reference_R = (np.array([float(score) for score, _ in group]) for group in (shifted, reference))
    weights_N = np.array([float(count) for _, count in [*shifted, *reference]])
    assume(weights_N[: len(shifted)].any() and weights_N[len(shifted) :].any())

    got = separation_family(shifted_S, reference_R)(weights_N[None])
    expected = by_scikit_learn(shifted_S, reference_R, weights_N)
    assert {name: values_D[0] for name, values_D in got.items()} == pytest.approx(expected)


def test_draws_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    shifted_S, reference_R = rng.normal(1, 1, 80).round(1), rng.normal(0, 1, 120).round(1)
    weights_DN = rng.integers(4, size=(6, 200)).astype(np.float64)
    got = separation_family(shifted_S, reference_R)(weights_DN)

    for draw, weights_N in enumerate(weights_DN):
        expected = by_scikit_learn(shifted_S, reference_R, weights_N)
        assert {name: values_D[draw] for name, values_D in got.items()} == pytest.approx(expected)


def test_a_set_is_not_shifted_from_itself():
    usual = measured(n=40)

    for each in values(usual, usual).values():
        assert each["auroc"] == 0.5
        assert each["fpr95"] >= 0.95


def test_perfect_separation_and_its_mirror():
    torn = measure_uncertainty(np.array([[[5, -5]] * 3, [[-5, 5]] * 3], dtype=np.float32))
    agreed = measure_uncertainty(np.array([[[5, -5]] * 4, [[5, -5]] * 4], dtype=np.float32))
    seen, mirrored = values(torn, agreed), values(agreed, torn)

    for score in SCORES:
        if score.name != "expected_entropy":
            found = [seen[score.name][quantity.name] for quantity in DETECTION_NUMBERS]
            assert found == [1.0, 1.0, 1.0, 0.0], score.name
            assert mirrored[score.name]["auroc"] == 0.0, score.name
            assert mirrored[score.name]["fpr95"] == 1.0, score.name


def test_exactly_95_percent_are_enough():
    """The 19th of 20 reference examples is the threshold; one of four shifted ones lies below it."""
    got = separation([18.5, 19.5, 20.5, 21.0], range(1, 21))

    assert got["fpr95"] == 0.25


def test_a_threshold_lets_equal_scores_pass_together():
    assert separation([7, 7, 9], [7, 7])["fpr95"] == pytest.approx(2 / 3)
    assert separation([1], [1]) == {"auroc": 0.5, "aupr_in": 0.5, "aupr_out": 0.5, "fpr95": 1.0}


def test_each_set_is_resampled_within_itself():
    resampled = resample(separation_family(np.ones(30), np.zeros(50)), sizes=[30, 50], draws=50, seed=0)

    assert {name: set(draws_D.tolist()) for name, draws_D in resampled.draws_D.items()} == {
        "auroc": {1.0},
        "aupr_in": {1.0},
        "aupr_out": {1.0},
        "fpr95": {0.0},
    }


@pytest.mark.parametrize(("members", "score"), [(1, "entropy"), (3, "entropy"), (4, "mutual_information")])
def test_one_score_is_chosen_by_the_number_of_members_alone(members, score):
    shift = detected(measured(n=30, members=members), measured(n=30, seed=1, members=members), members=members)

    assert detection_score(members) == shift.detection.score == score


def test_of_the_same_distribution_no_set_of_several_is_told_apart():
    """Three sets beside one reference; that any of them is told apart may happen in one case of twenty."""
    told = []
    for seed in range(60):
        usual = measured(n=80, seed=1000 + seed)
        sets = {f"{i}": detected(measured(n=40, seed=10 * seed + i), usual, draws=100) for i in range(3)}
        told.append(any(each.detection.seen != "unclear" for each in judge_together(sets).values()))

    assert np.mean(told) <= 0.05


def test_real_shifts_are_told_apart_in_both_directions():
    usual = measured(n=100, seed=0)
    less_sure = [detected(measured(n=60, seed=seed, noise=3.0), usual, draws=100) for seed in range(1, 11)]
    surer = [detected(measured(n=60, seed=seed, noise=0.2), usual, draws=100) for seed in range(1, 11)]

    assert [each.detection.seen for each in less_sure] == ["less_sure"] * 10
    assert [each.detection.seen for each in surer] == ["surer"] * 10


@pytest.mark.parametrize(("shifted", "reference"), [(19, 100), (100, 19), (1, 1)])
def test_fewer_than_twenty_examples_on_a_side_say_nothing(shifted, reference):
    detection = detected(measured(n=shifted, noise=4.0), measured(n=reference, seed=1), draws=50).detection

    assert (detection.seen, detection.p_value) == ("too_few", None)
    assert detection.auroc.value is not None


def test_without_an_interval_nothing_is_told_apart():
    detection = detected(measured(n=60, noise=4.0), measured(n=60, seed=1), draws=0).detection

    assert detection.p_value < 0.001
    assert detection.seen == "unclear"


def test_the_p_values_of_several_sets_are_adjusted_together():
    usual = measured(n=100, seed=0)
    sets = {f"{i}": detected(measured(n=60, seed=i + 1, noise=1 + 0.25 * i), usual, draws=100) for i in range(4)}
    sets["few"] = detected(measured(n=5), usual, draws=100)
    judged = judge_together(sets)

    plain = sorted(each.detection.p_value for each in sets.values() if each.detection.p_value is not None)
    smallest = min(judged.values(), key=lambda each: each.detection.p_holm or 1.0).detection
    assert smallest.p_holm == pytest.approx(min(1.0, 4 * plain[0]))
    assert judged["few"].detection.p_holm is None
