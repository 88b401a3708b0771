from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import log_loss, roc_auc_score

from ensemble_uq_llm.evaluation.members.gain import gain_family, gains, member_metrics, members_mean
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, summed_for
from ensemble_uq_llm.evaluation.quality.true_error import ErrorLaw, compare_errors, error_laws
from ensemble_uq_llm.evaluation.records import Gain
from ensemble_uq_llm.evaluation.uncertainty import log_mean_exp, log_softmax
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.bootstrap import resample
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.statistic import value_of
from small_predictions import predicted


def drawn(predictions, *, labels_N=None, **settings):
    labels_N = predictions.labels_N if labels_N is None else labels_N
    family = gain_family(log_softmax(predictions.logits_MNC), labels_N, predictions.members, HEADLINE)
    return resample(family, sizes=[len(labels_N)], **settings)


def laws(predictions, *, draws, seed=0):
    predictors = {None: log_mean_exp(log_softmax(predictions.logits_MNC))}
    predictors |= dict(zip(predictions.members, log_softmax(predictions.logits_MNC), strict=True))
    return error_laws(predictors, predictions.labels_N, summed_for(HEADLINE), draws=draws, seed=seed)


def test_samples_of_one_seed_are_members_of_their_own():
    members = (MemberId(42), MemberId(42, 1), MemberId(7))
    predictions = replace(predicted(80, members=3), members=members)
    numbers = drawn(predictions, draws=30)
    each = member_metrics(numbers, members, HEADLINE)

    assert tuple(one.member for one in each) == members
    for m, one in enumerate(each):
        losses = log_loss(predictions.labels, np.exp(log_softmax(predictions.logits_MNC[m])))
        assert one.metrics["nll"].value == pytest.approx(losses)
    mean = members_mean(numbers, members, HEADLINE)["nll"].value
    assert mean == pytest.approx(np.mean([one.metrics["nll"].value for one in each]))
    best = min(each, key=lambda one: one.metrics["nll"].value)
    assert gains(numbers, members, HEADLINE, {})["nll"].best_member == best.member


def test_a_member_that_is_always_right_has_the_exact_interval():
    predictions = predicted(30, members=2)
    right = replace(predictions, labels=tuple(int(c) for c in predictions.logits_MNC[0].argmax(axis=1)))
    first, other = member_metrics(drawn(right, draws=30), right.members, HEADLINE)

    exact = binomtest(30, 30).proportion_ci(method="exact")
    assert first.metrics["accuracy"].ci95 == pytest.approx((exact.low, exact.high))
    assert 0 < other.metrics["accuracy"].value < 1
    assert member_metrics(drawn(right, draws=0), right.members, HEADLINE)[0].metrics["accuracy"].ci95 is None


def test_gains_are_paired_differences():
    predictions = predicted(150, members=4, noise=1.5)
    log_probs_MNC, labels_N = log_softmax(predictions.logits_MNC), predictions.labels_N
    resampled = drawn(predictions, draws=300, seed=3)
    got = gains(resampled, predictions.members, HEADLINE, laws(predictions, draws=300, seed=3))

    probs_MNC = np.exp(log_probs_MNC)
    losses = [log_loss(labels_N, probs_NC) for probs_NC in probs_MNC]
    ours = log_loss(labels_N, probs_MNC.mean(axis=0))
    assert got["nll"].over_mean.value == pytest.approx(ours - np.mean(losses))
    assert got["nll"].over_best.value == pytest.approx(ours - min(losses))
    assert got["nll"].best_member == predictions.members[int(np.argmin(losses))]
    areas = [roc_auc_score(labels_N, probs_NC[:, 1]) for probs_NC in probs_MNC]
    assert got["auc"].best_member == predictions.members[int(np.argmax(areas))]

    of_members_MD = [resampled.draws_D["nll", member] for member in predictions.members]
    draws_D = resampled.draws_D["nll", None] - np.mean(of_members_MD, axis=0)
    assert got["nll"].over_mean.ci95 == pytest.approx(np.percentile(draws_D, [2.5, 97.5]))
    assert got["nll"].over_mean.p_value == pytest.approx(2 / 301)
    for metric in HEADLINE:
        for member, log_probs_NC in zip(predictions.members, log_probs_MNC, strict=True):
            alone = value_of(metric.statistic(log_probs_NC, labels_N), 150)
            assert resampled.values[metric.name, member] == pytest.approx(alone)


def test_the_gain_in_calibration_is_that_of_the_true_errors():
    predictions = predicted(400, members=5, noise=2.0)
    errors = laws(predictions, draws=200)
    got = gains(drawn(predictions, draws=200), predictions.members, HEADLINE, errors)["ece"]

    ours, theirs = errors[None]["ece"], [errors[member]["ece"] for member in predictions.members]
    assert got.over_mean == compare_errors(ours, ErrorLaw.mean_of(theirs))
    assert got.over_best == compare_errors(ours, ErrorLaw.least_of(theirs))
    low, high = got.over_mean.ci95
    assert low <= got.over_mean.value <= high


def test_calibrated_members_and_ensembles_seldom_differ_in_calibration():
    # One truth, of which every member sees another half: each is calibrated but for little, and so is the best.
    alarms = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        base = predicted(300, members=1, seed=seed)
        noise = 0.05 * rng.normal(size=(5, 300, 2))
        shape = (5, 300, 2)
        logits_MNC = np.broadcast_to(base.logits_MNC[:1], shape) + noise
        probs_NC = np.exp(log_softmax(base.logits_MNC)[0])
        labels = tuple((rng.random(300) < probs_NC[:, 1]).astype(int).tolist())
        predictions = replace(
            base, members=tuple(map(MemberId, range(5))), labels=labels, logits_MNC=logits_MNC.astype(np.float32)
        )
        errors = laws(predictions, draws=100, seed=seed)
        got = gains(drawn(predictions, draws=2), predictions.members, HEADLINE, errors)["ece"]
        alarms += got.over_mean.p_value < 0.05
        alarms += got.over_best.p_value < 0.05
    assert alarms <= 4


def test_a_single_member_gains_nothing_over_itself():
    predictions = predicted(50, members=1)
    resampled = drawn(predictions, draws=20)

    for each in gains(resampled, predictions.members, HEADLINE, laws(predictions, draws=20)).values():
        assert each.over_mean.value == pytest.approx(0, abs=1e-12)
        assert each.best_member == predictions.members[0]


def test_what_is_undefined_has_no_gain_and_no_best_member():
    predictions = predicted(20, members=2)
    resampled = drawn(predictions, labels_N=np.zeros(20, dtype=np.int64), draws=20)

    nothing = Comparison(value=None, ci95=None, p_value=None)
    expected = Gain(over_mean=nothing, over_best=nothing, best_member=None)
    assert gains(resampled, predictions.members, HEADLINE, {})["auc"] == expected


def test_without_draws_there_are_values_only_and_none_of_what_needs_draws():
    predictions = predicted(20, members=2)
    got = gains(drawn(predictions, draws=0), predictions.members, HEADLINE, laws(predictions, draws=0))

    assert got["nll"].over_mean.ci95 is None
    assert got["nll"].over_mean.value is not None
    assert got["ece"].over_mean == Comparison(value=None, ci95=None, p_value=None)


def test_a_gain_in_accuracy_is_judged_by_the_answers_that_differ():
    """The ensemble of two outvotes its worse member in four of a hundred answers."""
    labels_N = np.zeros(100, dtype=np.int64)
    margins_MN = np.full((2, 100), 3.0)
    margins_MN[1, :4] = -1.0
    predictions = replace(
        predicted(100, members=2), logits_MNC=np.stack([margins_MN, np.zeros((2, 100))], axis=-1).astype(np.float32)
    )
    log_probs_MNC = log_softmax(predictions.logits_MNC)
    unlike_MN = log_probs_MNC.argmax(axis=2) != labels_N
    resampled = drawn(predictions, labels_N=labels_N, draws=300)
    got = gains(resampled, predictions.members, HEADLINE, {}, unlike_MN=unlike_MN)["accuracy"]

    assert got.over_mean.value == pytest.approx(0.02)
    assert got.over_mean.p_value == 2 / 2**4
    assert got.over_best.p_value == 1.0


def test_of_few_examples_no_gain_has_a_p_value():
    predictions = predicted(19, members=3, noise=2.0)
    got = gains(drawn(predictions, draws=50), predictions.members, HEADLINE, laws(predictions, draws=50))

    assert {each.over_mean.p_value for each in got.values()} == {None}
