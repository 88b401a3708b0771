"""What is concluded, by simulation: the truth is known, and what is said of it is counted."""

from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.classes.by_class import class_family, measure_classes
from ensemble_uq_llm.evaluation.classes.constant_answers import constant_family, measure_constant
from ensemble_uq_llm.evaluation.conclusions.findings import find, is_better, is_worse
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_sets
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.members.gain import gain_family, gains, members_mean
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE
from ensemble_uq_llm.evaluation.records import MetricEstimate, SetMetrics
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.statistics.bootstrap import resample_together
from ensemble_uq_llm.statistics.intervals import Comparison
from small_predictions import predicted, unlabelled

DRAWS = 100


def record(probs_MN, labels_N, *, prefix="q"):
    """Two classes, by the probability of class 1."""
    probs_MN = np.clip(probs_MN, 1e-6, 1 - 1e-6)
    return Predictions.from_arrays(
        probs=np.stack([1 - probs_MN, probs_MN], axis=-1),
        labels=labels_N,
        ids=[f"{prefix}{i}" for i in range(len(labels_N))],
        members=trained(range(len(probs_MN))),
    )


def found(predictions, *, draws=DRAWS):
    return evaluate(predictions, draws=draws).metrics.findings


def kinds(predictions, *, draws=DRAWS):
    return [each.kind for each in found(predictions, draws=draws)]


def share_of(kind, worlds):
    """How often something is concluded, from the numbers alone that `find` reads: a whole evaluation takes longer."""
    return np.mean([kind in {each.kind for each in find(numbers_alone(each), Measured.of(each))} for each in worlds])


def numbers_alone(predictions, *, draws=200):
    measured = Measured.of(predictions)
    labels_N, members = measured.labels_N, predictions.members
    shown = [metric for metric in HEADLINE if metric.name in ("accuracy", "auc", "nll", "brier")]
    families = {
        "constant": constant_family(labels_N, 2),
        "members": gain_family(measured.log_probs_MNC, labels_N, members, shown),
        "by_class": class_family(measured.log_probs_NC, labels_N),
    }
    resampled = resample_together(families, sizes=[measured.n], draws=draws, seed=0)
    own = resampled["members"]
    ensemble = replace(
        own,
        values={metric.name: own.values[metric.name, None] for metric in shown},
        draws_D={metric.name: own.draws_D[metric.name, None] for metric in shown},
    )
    answers_N = measured.log_probs_NC.argmax(axis=1)
    return SetMetrics(
        **{"name": "it", "role": "main", "uncertainty": {}, "histograms": {}, "member_ids": members, "classes": 2},
        **{"n": measured.n, "labelled": measured.n, "members": len(members)},
        ensemble={name: MetricEstimate(value=value, ci95=None) for name, value in ensemble.values.items()},
        members_mean=members_mean(own, members, shown),
        constant_answers=measure_constant(answers_N, labels_N, resampled["constant"], ensemble),
        by_class=measure_classes(answers_N, labels_N, resampled["by_class"], classes=2),
        gain=gains(own, members, shown, {}),
    )


def flipped(rng, labels_N, right):
    """Answers that are right in a share of the examples."""
    return np.where(rng.random(len(labels_N)) < right, labels_N, 1 - labels_N)


def harmed(n, *, seed=0):
    """Members of 80%, each unsure where it is right and sure where it is wrong: two right ones lose to one wrong."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(2, size=n)
    probs_MN = np.where(rng.random((3, n)) < 0.8, 0.56, 0.05)
    return record(np.where(labels_N == 1, probs_MN, 1 - probs_MN), labels_N)


def guessing(n, *, seed):
    rng = np.random.default_rng(seed)
    return record(rng.uniform(0.3, 0.7, size=(3, n)), rng.integers(2, size=n))


def knowing(n, *, seed, right=0.8):
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(2, size=n)
    answers_N = flipped(rng, labels_N, right)
    return record(np.where(answers_N == 1, right, 1 - right) + rng.normal(0, 0.03, size=(3, n)), labels_N)


def test_a_good_ensemble_has_no_findings():
    assert kinds(predicted(n=400, classes=4)) == []


def test_an_ensemble_that_is_worse_than_its_members_is_said_to_hurt():
    finding = next(each for each in found(harmed(300)) if each.kind == "ensemble_hurts")

    assert finding.metric == "accuracy"
    assert finding.value < finding.other
    assert finding.difference.ci95[1] < 0
    assert finding.difference.value == pytest.approx(finding.value - finding.other)


def test_members_that_gain_nothing_are_not_said_to_hurt():
    worlds = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels_N = rng.integers(2, size=200)
        # Each is right on as many examples as any other, and the first decides: the true difference is 0.
        answers_MN = np.stack([flipped(rng, labels_N, 0.75) for _ in range(3)])
        sureness_M = np.array([[0.45], [0.02], [0.02]])
        worlds.append(record(0.5 + np.where(answers_MN == 1, sureness_M, -sureness_M), labels_N))

    assert share_of("ensemble_hurts", worlds) <= 0.05


@pytest.mark.parametrize("n", [60, 300])
def test_who_guesses_is_said_to_have_learned_nothing(n):
    worlds = [guessing(n, seed=seed) for seed in range(40)]

    assert share_of("not_above_majority", worlds) >= 0.95
    assert share_of("not_below_prior", worlds) >= 0.95


def test_who_has_learned_is_not_said_to_have_learned_nothing():
    worlds = [knowing(200, seed=seed) for seed in range(40)]

    assert share_of("not_above_majority", worlds) <= 0.05
    assert share_of("not_below_prior", worlds) <= 0.05


def test_a_rare_class_may_be_ranked_well_by_answers_that_never_name_it():
    rng = np.random.default_rng(0)
    labels_N = (rng.random(1500) < 0.05).astype(int)
    odds_N = 1.5 * labels_N + rng.normal(size=1500) - 4
    (finding,) = (
        each for each in found(record(1 / (1 + np.exp(-(odds_N + rng.normal(0, 0.1, (2, 1500))))), labels_N))
        if each.metric
    )  # fmt: skip

    assert (finding.kind, finding.label) == ("not_above_majority", 0)
    assert finding.other == pytest.approx(1 - labels_N.mean())


def test_sure_mistakes_are_worse_than_the_classes_frequencies():
    rng = np.random.default_rng(0)
    labels_N = rng.integers(2, size=300)
    (finding,) = found(record(np.tile(np.where(flipped(rng, labels_N, 0.75) == 1, 0.9999, 0.0001), (2, 1)), labels_N))

    assert finding.kind == "not_below_prior"
    assert is_worse("nll", finding.difference)
    assert finding.other == pytest.approx(np.log(2), abs=0.01)


def test_members_that_answer_everything_alike_are_named():
    predictions = predicted(n=60, members=4)
    logits_MNC = predictions.logits_MNC.copy()
    logits_MNC[1], logits_MNC[3] = [0, 1], [2, 3]
    (finding,) = (each for each in found(replace(predictions, logits_MNC=logits_MNC)) if "constant" in each.kind)

    assert (finding.kind, finding.label, finding.n) == ("constant_members", 1, 60)
    assert finding.members == (MemberId(43), MemberId(45))


def test_constant_answers_need_no_labels():
    predictions = predicted(n=60)
    always = replace(unlabelled(predictions), logits_MNC=np.tile(np.float32([1, 0]), (3, 60, 1)))

    assert kinds(always, draws=0) == ["constant_members"]


def test_an_ensemble_may_be_constant_where_no_member_is():
    rng = np.random.default_rng(0)
    labels_N = rng.integers(2, size=90)
    probs_MN = np.where(np.arange(3)[:, None] == np.arange(90) % 3, 0.45, 0.8)

    assert "constant_ensemble" in kinds(record(probs_MN, labels_N))
    assert "constant_members" not in kinds(record(probs_MN, labels_N))


def test_labels_of_one_class_are_said_and_nothing_else_is_concluded():
    always = record(np.full((2, 50), 0.8), np.ones(50, dtype=int))
    metrics = evaluate(always, draws=DRAWS).metrics

    assert [each.kind for each in metrics.findings] == ["one_class"]
    assert metrics.findings[0].label == 1
    assert metrics.ensemble["auc"].value is None


@pytest.mark.parametrize("n", [2, 19])
def test_nothing_is_concluded_from_fewer_than_twenty(n):
    labels_N = np.arange(n) % 2

    assert kinds(record(np.full((3, n), 0.9), labels_N)) == []


def test_without_draws_only_what_needs_none_is_said():
    assert kinds(guessing(100, seed=0), draws=0) == []


def test_equal_up_to_rounding_is_neither_better_nor_worse():
    for sign in (-1, 1):
        rounding = Comparison(value=sign * 2e-17, ci95=tuple(sorted((sign * 1e-17, sign * 3e-17))), p_value=0.002)
        assert not is_better("nll", rounding)
        assert not is_worse("nll", rounding)


def test_a_difference_has_its_better_side():
    lower = Comparison(value=-0.2, ci95=(-0.3, -0.1), p_value=0.01)

    assert is_better("nll", lower)
    assert is_worse("accuracy", lower)
    assert not is_worse("accuracy", replace(lower, p_value=0.2))


def surer_set(n, *, right, sharpness, seed):
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(2, size=n)
    answers_N = flipped(rng, labels_N, right)
    odds_MN = sharpness * np.where(answers_N == 1, 1.0, -1.0) + rng.normal(0, 0.3, size=(3, n))
    return record(1 / (1 + np.exp(-odds_MN)), labels_N, prefix=f"s{seed}-")


def findings_beside(shifted, usual):
    return evaluate_sets({"usual": usual, "far": shifted}, draws=DRAWS)["far"].metrics.findings


def test_a_set_that_is_answered_worse_with_more_confidence_is_warned_of():
    usual = surer_set(300, right=0.85, sharpness=1.7, seed=0)
    first = findings_beside(surer_set(200, right=0.6, sharpness=3.5, seed=1), usual)[0]

    assert (first.kind, first.metric) == ("worse_but_surer", "accuracy")
    assert set(first.scores) == {"one_minus_confidence", "entropy"}
    assert first.difference.value == pytest.approx(first.value - first.other) == pytest.approx(-0.25, abs=0.1)


@pytest.mark.parametrize(("right", "sharpness"), [(0.6, 1.0), (0.85, 3.5), (0.85, 1.7)])
def test_a_set_that_is_worse_or_surer_alone_is_not(right, sharpness):
    usual = surer_set(300, right=0.85, sharpness=1.7, seed=0)

    kinds_beside = [
        each.kind for each in findings_beside(surer_set(200, right=right, sharpness=sharpness, seed=1), usual)
    ]
    assert "worse_but_surer" not in kinds_beside
