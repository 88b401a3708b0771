import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.comparison import compare_predictions, comparison_json
from ensemble_uq_llm.evaluation.quality.metrics import accuracy, metrics_for, nll
from ensemble_uq_llm.evaluation.records import AdjustedComparison, McNemar
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.statistics.bootstrap import compare, resample
from ensemble_uq_llm.statistics.significance import holm, mcnemar
from ensemble_uq_llm.statistics.statistic import family_of
from small_predictions import predicted, unlabelled


def pooled(predictions):
    exp_MNC = np.exp(predictions.logits_MNC.astype(np.float64))
    return (exp_MNC / exp_MNC.sum(axis=-1, keepdims=True)).mean(axis=0)


@pytest.fixture(scope="module")
def a():
    return predicted(n=300, noise=0.5)


@pytest.fixture(scope="module")
def worse():
    return predicted(n=300, noise=4.0, members=2)


@pytest.fixture(scope="module")
def result(a, worse):
    return compare_predictions(a, worse, draws=400, seed=7)


@pytest.mark.parametrize("classes", [2, 3])
def test_every_metric_that_has_a_better_side_is_compared(classes):
    a, b = (predicted(n=50, classes=classes, noise=noise) for noise in (1.0, 2.0))
    result = compare_predictions(a, b, draws=20)

    expected = [each for each in metrics_for(classes) if each.higher_is_better is not None and not each.same_as]
    assert list(result.metrics) == [*(each.name for each in expected), "aurc"]
    untested = {name for name, each in result.metrics.items() if each.difference.p_value is None}
    assert untested == {"mce", "brier_resolution"}
    assert all(result.metrics[name].difference.ci95 is None for name in untested)
    assert result.comparisons == len(result.metrics) - 2


def test_both_values_and_their_difference(a, worse, result):
    for side, predictions in (("a", a), ("b", worse)):
        probs_NC = pooled(predictions)
        nll, auc = (getattr(result.metrics[name], side) for name in ("nll", "auc"))
        assert nll.value == pytest.approx(log_loss(predictions.labels, probs_NC))
        assert auc.value == pytest.approx(roc_auc_score(predictions.labels, probs_NC[:, 1]))
    for each in result.metrics.values():
        a_value, b_value = (side.value if side.debiased is None else side.debiased.value for side in (each.a, each.b))
        assert each.difference.value == pytest.approx(b_value - a_value, abs=1e-12)
    assert (result.members_a, result.members_b) == (3, 2)
    assert (result.n, result.same_test_set, result.same_predictions, result.warnings) == (300, True, False, ())


def test_differences_are_paired_draw_by_draw(a, worse, result):
    resampled = []
    for predictions in (a, worse):
        log_probs_NC = measure_uncertainty(predictions.logits_MNC).log_probs_NC
        family = family_of({"accuracy": accuracy(log_probs_NC, a.labels_N), "nll": nll(log_probs_NC, a.labels_N)})
        resampled.append(resample(family, sizes=[300], draws=400, seed=7))
    for name in ("accuracy", "nll"):
        ours, theirs = ((each.values[name], each.draws_D[name]) for each in resampled)
        expected = compare(*theirs, *ours, examples=300)
        got = result.metrics[name].difference
        assert got.value == pytest.approx(expected.value, abs=1e-12)
        assert got.ci95 == pytest.approx(expected.ci95, abs=1e-12)
        assert got.p_value == expected.p_value


def test_a_worse_run_is_found_worse_either_way(a, worse, result):
    swapped = compare_predictions(worse, a, draws=400, seed=7)
    for name in ("accuracy", "auc", "nll", "brier", "aurc"):
        assert (result.metrics[name].better, swapped.metrics[name].better) == ("A", "B")
        low, high = result.metrics[name].difference.ci95
        assert swapped.metrics[name].difference.ci95 == pytest.approx([-high, -low])
    assert "A is better in Accuracy" in result.verdict
    assert "B is better in Accuracy" in swapped.verdict


def test_p_values_are_adjusted_for_their_number(result):
    differences = [each.difference for each in result.metrics.values() if each.difference.p_value is not None]

    assert [each.p_holm for each in differences] == holm([each.p_value for each in differences])
    assert f"after correction for {len(differences)} comparisons (Holm)" in result.verdict


def test_better_needs_the_interval_and_the_p_value(result):
    for each in result.metrics.values():
        if each.difference.p_value is None:
            assert each.better is None
            continue
        low, high = each.difference.ci95
        assert (each.better is not None) == ((low > 0 or high < 0) and each.difference.p_value < 0.05)


def test_mcnemar_counts_the_answers_that_differ(a, worse, result):
    right = [pooled(each).argmax(axis=1) == np.array(a.labels) for each in (a, worse)]
    only_a, only_b = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())

    assert result.mcnemar == McNemar(only_a=only_a, only_b=only_b, p_value=mcnemar(only_a, only_b))
    assert only_a > only_b > 0


def sharp_and_blunt(n, seed):
    """Two perfectly calibrated predictors of the same labels, of which B knows but half of what A knows."""
    rng = np.random.default_rng(seed)
    p_sharp_N, p_other_N = (1 / (1 + np.exp(-1.5 * rng.normal(size=n))) for _ in range(2))
    labels_N = (rng.random(n) < p_sharp_N).astype(int)
    a, b = (
        Predictions(
            ids=tuple(map(str, range(n))),
            labels=tuple(labels_N.tolist()),
            members=trained((1,)),
            logits_MNC=np.log(np.stack([1 - p_N, p_N], axis=1))[None].astype(np.float32),
        )
        for p_N in (p_sharp_N, (p_sharp_N + p_other_N) / 2)
    )
    return a, b


def test_calibrated_models_of_other_sharpness_seldom_differ_in_calibration():
    # At 5% more than 3 false alarms of one metric among 12 have a probability of 0.2%; compared as they are, the
    # errors of equal mass gave 10.
    alarms = dict.fromkeys(("ece", "equal_mass_ece", "classwise_ece", "smooth_ece", "brier_reliability"), 0)
    for seed in range(12):
        result = compare_predictions(*sharp_and_blunt(500, seed), draws=100)
        for name in alarms:
            alarms[name] += result.metrics[name].better is not None
    assert max(alarms.values()) <= 3, alarms


def test_what_is_overconfident_is_found_worse_calibrated():
    a, b = sharp_and_blunt(1000, 0)
    result = compare_predictions(a, replace(b, logits_MNC=3 * b.logits_MNC), draws=200)

    for name in ("ece", "equal_mass_ece", "classwise_ece", "smooth_ece", "brier_reliability"):
        assert result.metrics[name].better == "A", name
        low, high = result.metrics[name].difference.ci95
        assert 0 < low < result.metrics[name].difference.value < high


def test_the_error_of_class_1_is_counted_once():
    a, b = sharp_and_blunt(60, 0)
    result = compare_predictions(a, b, draws=20)

    assert "classwise_ece" in result.metrics
    assert "binary_ece" not in result.metrics


def test_chance_alone_seldom_seems_better():
    # Two runs that are equally good: 25 independent test sets, each tested at 5%. More than 5 false alarms of one
    # metric have a probability of 0.1%.
    alarms = 0
    for trial in range(25):
        a, b = predicted(n=120, seed=trial), predicted(n=120, seed=trial)
        noise_MNC = np.random.default_rng(1000 + trial).normal(size=(2, *a.logits_MNC.shape)).astype(np.float32)
        a, b = (
            replace(each, logits_MNC=each.logits_MNC + noise) for each, noise in zip((a, b), noise_MNC, strict=True)
        )
        alarms += compare_predictions(a, b, draws=100).metrics["nll"].better is not None
    assert alarms <= 5


def test_a_run_against_itself(a):
    reordered = replace(a, members=a.members[::-1], logits_MNC=a.logits_MNC[::-1])
    result = compare_predictions(a, reordered, draws=50)

    assert result.same_predictions
    assert result.verdict == "A and B are the same predictions: a run was compared with itself."
    for name, each in result.metrics.items():
        tested = {} if name in ("mce", "brier_resolution") else {"ci95": (0.0, 0.0), "p_value": 1.0, "p_holm": 1.0}
        nothing = AdjustedComparison(value=0.0, ci95=None, p_value=None, p_holm=None)
        assert each.difference == replace(nothing, **tested)
        assert each.better is None


def test_what_was_left_out_is_said(a):
    b = replace(a, ids=("x0", *a.ids[1:]), logits_MNC=a.logits_MNC * np.float32(1.001))
    result = compare_predictions(a, b, draws=100)

    assert result.n == 299
    assert result.warnings == (
        "the test sets differ: 1 examples are only in A and 1 only in B; compared on the 299 that both have",
    )


def test_samples_of_one_seed_are_members_of_their_own(a):
    samples = replace(a, members=(MemberId(42), MemberId(42, 1), MemberId(42, 2)))

    assert not compare_predictions(a, samples, draws=10).same_predictions
    assert compare_predictions(samples, samples, draws=10).same_predictions


def test_the_plain_form_for_programs(result):
    plain = comparison_json(result)

    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    first = ["n", "classes", "members", "same_test_set", "same_predictions", "warnings", "comparisons"]
    assert list(plain) == [*first, "metrics", "mcnemar", "verdict", "protocols"]
    assert plain["protocols"]["A"]["members"] == 3
    assert plain["protocols"]["differs_in"] == ["members"]
    assert plain["members"] == {"A": 3, "B": 2}
    nll, expected = plain["metrics"]["nll"], result.metrics["nll"]
    assert nll["A"] == {"value": expected.a.value, "ci95": list(expected.a.ci95)}
    assert nll["difference"] == asdict(expected.difference) | {"ci95": list(expected.difference.ci95)}
    assert nll["better"] == "A"
    assert plain["mcnemar"] == asdict(result.mcnemar)


def test_what_is_undefined():
    # One example: no interval, and no AUC; it is answered rightly by both.
    a = replace(predicted(n=1, members=1), labels=(1,), logits_MNC=np.array([[[0.0, 2.0]]], np.float32))
    result = compare_predictions(a, replace(a, members=trained((7,))), draws=100)

    assert result.metrics["auc"].a.value is None
    assert result.metrics["auc"].difference == AdjustedComparison(value=None, ci95=None, p_value=None, p_holm=None)
    assert (result.comparisons, result.mcnemar.p_value) == (0, 1.0)
    where = "On 1 example nothing can be said about a difference between A and B"
    assert result.verdict == f"{where}: that takes at least 20."


@pytest.mark.parametrize("n", [2, 5, 19])
def test_of_few_examples_there_is_no_p_value_and_no_verdict(n):
    """A is sure and right everywhere, B sure and wrong: every resampling shows the same."""
    labels_N = np.arange(n) % 2
    logits_NC = np.where(np.eye(2)[labels_N] == 1, 4.0, -4.0).astype(np.float32)
    a = replace(predicted(n=n, members=1), labels=tuple(labels_N.tolist()), logits_MNC=logits_NC[None])
    result = compare_predictions(a, replace(a, logits_MNC=-a.logits_MNC), draws=1000)

    assert {each.difference.p_value for each in result.metrics.values()} == {None}
    assert {each.better for each in result.metrics.values()} == {None}
    assert result.comparisons == 0
    assert result.verdict.endswith("nothing can be said about a difference between A and B: that takes at least 20.")
    assert result.mcnemar.p_value == mcnemar(n, 0)  # which is exact for any number


def test_from_20_examples_on_there_is_one():
    labels_N = np.arange(20) % 2
    logits_NC = np.where(np.eye(2)[labels_N] == 1, 4.0, -4.0).astype(np.float32)
    a = replace(predicted(n=20, members=1), labels=tuple(labels_N.tolist()), logits_MNC=logits_NC[None])
    accuracy = compare_predictions(a, replace(a, logits_MNC=-a.logits_MNC), draws=1000).metrics["accuracy"]

    assert (accuracy.better, accuracy.difference.at_floor) == ("A", True)


@pytest.mark.parametrize("flipped", [1, 3, 4, 5])
def test_a_handful_of_answers_that_differ_is_no_evidence_in_accuracy(a, flipped):
    """B gets a few more wrong, and is A otherwise: the exact test allows no more than 2 / 2^n."""
    right = np.flatnonzero(pooled(a).argmax(axis=1) == np.array(a.labels))[:flipped]
    logits_MNC = a.logits_MNC.copy()
    logits_MNC[:, right] = logits_MNC[:, right][..., ::-1]
    result = compare_predictions(a, replace(a, logits_MNC=logits_MNC), draws=400)

    assert (result.mcnemar.only_a, result.mcnemar.only_b) == (flipped, 0)
    for name, each in result.metrics.items():
        assert each.better is None
        if name not in ("mce", "brier_resolution"):  # of which no difference is tested
            assert each.difference.p_value >= 2 / 2**flipped > 0.05


def test_the_same_probabilities_from_other_logits_answer_alike(a):
    b = replace(a, logits_MNC=a.logits_MNC + np.float32(0.5))  # adds the same to every class: the same probabilities
    result = compare_predictions(a, replace(b, members=trained((1, 2, 3))), draws=100)

    assert not result.same_predictions
    assert result.metrics["accuracy"].better is None
    assert result.mcnemar == McNemar(only_a=0, only_b=0, p_value=1.0)


def test_what_cannot_be_compared_is_refused(a):
    with pytest.raises(DataError, match="none of them has a label"):
        compare_predictions(unlabelled(a), unlabelled(a), draws=10)
