from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.assemble import beside_reference, unlabelled_metrics, with_decisions, with_labels
from ensemble_uq_llm.evaluation.decisions.fitted import fit_decisions
from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS
from ensemble_uq_llm.evaluation.decisions.shift import DETECTION_NUMBERS
from ensemble_uq_llm.evaluation.histograms import histogram_axes
from ensemble_uq_llm.evaluation.labelled import resample_labelled
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS, metrics_for
from ensemble_uq_llm.evaluation.quality.truth import TRUTH_NUMBERS
from ensemble_uq_llm.evaluation.records import CalibrationSet
from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.statistic import value_of
from small_predictions import predicted, unlabelled

DRAWS = 40
SAMPLES = (MemberId(42), MemberId(42, 1), MemberId(7))
"""Two are samples of one seed."""


def said(measured, draws=DRAWS):
    return unlabelled_metrics("it", measured, histogram_axes([measured]), draws=draws, seed=0)


def numbers_of(measured, draws=DRAWS):
    return resample_labelled(measured, {}, draws=draws, seed=0) if measured.n else None


def labelled(predictions, draws=DRAWS):
    measured = Measured.of(predictions)
    return with_labels(said(measured), measured, numbers_of(measured, draws), draws=draws, seed=0)


def test_members_are_estimated_each_alone_and_gains_are_paired():
    predictions = replace(predicted(n=150), members=SAMPLES)
    metrics, measured = labelled(predictions), Measured.of(predictions)

    assert tuple(each.member for each in metrics.per_member) == metrics.member_ids == SAMPLES
    for each, log_probs_NC in zip(metrics.per_member, measured.log_probs_MNC, strict=True):
        for metric in HEADLINE:
            alone = value_of(metric.statistic(log_probs_NC, measured.labels_N), 150)
            assert each.metrics[metric.name].value == pytest.approx(alone)
            assert each.metrics[metric.name].ci95[0] < each.metrics[metric.name].ci95[1]
    gain = metrics.gain["nll"].over_mean
    assert gain.value == pytest.approx(metrics.ensemble["nll"].value - metrics.members_mean["nll"].value)
    # Members and ensemble share most of their luck with the examples, so their difference is far surer.
    assert np.ptp(gain.ci95) < np.ptp(metrics.ensemble["nll"].ci95) / 2
    assert set(metrics.diversity["disagreement"].min.members) <= set(SAMPLES)


def test_every_score_has_every_number_and_a_curve():
    metrics = labelled(predicted(n=100))

    assert list(metrics.selective) == [score.name for score in SCORES]
    for each in metrics.selective.values():
        assert set(each.numbers) == {quantity.name for quantity in SELECTIVE_NUMBERS}
        assert each.curve.coverage[-1] == 1.0
        assert each.curve.risk[-1] == pytest.approx(1 - metrics.ensemble["accuracy"].value)
        assert len(each.curve.low) == len(each.curve.high) == len(each.curve.risk)
        area = np.trapezoid(each.roc.true_positive_rate, each.roc.false_positive_rate)
        assert area == pytest.approx(each.numbers["error_auroc"].value, abs=1e-12)
    assert metrics.best_score.compared == len(SCORES)
    assert metrics.best_score.answer.startswith("Use ")


def test_a_single_member_gains_nothing_and_is_not_compared():
    metrics = labelled(predicted(n=50, members=1))

    assert metrics.members_mean["nll"].value == pytest.approx(metrics.ensemble["nll"].value)
    assert (metrics.gain, metrics.size_curve, metrics.diversity) == ({}, None, {})


def surest_where_wrong(members):
    """Predictions whose confidence finds mistakes worse than a coin does, and so worse than a score that is 0."""
    predictions = predicted(n=60, members=members)
    uncertainty = Measured.of(predictions).uncertainty
    wrong_N = uncertainty.confidence_N > np.median(uncertainty.confidence_N)
    return replace(predictions, labels=tuple((uncertainty.prediction_N ^ wrong_N).tolist()))


def test_of_a_single_member_no_score_is_chosen_that_needs_several():
    single, several = (labelled(surest_where_wrong(members)).best_score for members in (1, 4))

    assert (single.best, single.compared) == (BASELINE, 4)
    assert "mutual information" not in single.answer
    assert several.compared == len(SCORES)
    fitted = fit_decisions(surest_where_wrong(1), name="calibration", rng=np.random.default_rng(0), draws=50)
    assert fitted.best_score.compared == 4


def test_what_is_said_without_labels():
    predictions = unlabelled(predicted(n=30))
    metrics = said(Measured.of(predictions))

    assert (metrics.n, metrics.labelled, metrics.members, metrics.classes) == (30, 0, 3, 2)
    assert metrics.uncertainty["mean_confidence"] == pytest.approx(
        Measured.of(predictions).uncertainty.confidence_N.mean()
    )


def test_the_change_by_a_temperature_is_paired_with_what_was_before():
    predictions, calibration = (replace(predicted(n=150, seed=seed), members=SAMPLES) for seed in (0, 5))
    measured = Measured.of(predictions)
    fitted = fit_decisions(calibration, name="calibration", rng=np.random.default_rng(0), draws=0)
    decisions = fitted.apply(predictions, rng=np.random.default_rng(1))
    numbers = resample_labelled(measured, decisions.log_probs_NC, draws=DRAWS, seed=0)
    before = with_labels(said(measured), measured, numbers, draws=DRAWS, seed=0)
    metrics = with_decisions(before, measured, numbers, fitted=fitted, decisions=decisions, draws=DRAWS, seed=0)

    assert metrics.temperature.calibration == CalibrationSet(name="calibration", n=150)
    assert tuple(each.member for each in metrics.temperature.per_member.temperatures) == SAMPLES
    for each in (metrics.temperature.pooled, metrics.temperature.per_member):
        assert set(each.after) == set(each.change) == {metric.name for metric in metrics_for(2)}
        difference = each.after["nll"].value - before.ensemble["nll"].value
        assert each.change["nll"].value == pytest.approx(difference)
        assert np.ptp(each.change["nll"].ci95) < np.ptp(before.ensemble["nll"].ci95) / 2
        # Its diagram has the bins of the calibration error after it, which are those before it.
        bins = each.reliability.bins
        assert sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / 150 == pytest.approx(each.after["ece"].value)
        assert sum(b.n for b in bins) == 150
        edges = [edge for b in (*bins, *before.reliability.bins) for edge in (b.low, b.high)]
        assert [15 * edge for edge in edges] == pytest.approx([round(15 * edge) for edge in edges])
    # One temperature for all changes no order.
    assert metrics.temperature.pooled.change["auc"].value == pytest.approx(0, abs=1e-12)
    covered = decisions.sets_RNC[0][np.arange(150), measured.labels_N].mean()
    assert metrics.conformal.methods["lac"]["0.80"].coverage.value == pytest.approx(covered)


def compared(shifted, reference, *, role="shifted"):
    measured, usual = Measured.of(shifted), Measured.of(reference)
    return beside_reference(
        replace(said(measured), role=role),
        measured,
        numbers_of(measured, 400),
        reference=("usual", usual, numbers_of(usual, 400)),
        draws=DRAWS,
        seed=0,
    )


def test_a_shift_is_detected_and_the_change_of_quality_told():
    reference, shifted = predicted(n=200, noise=0.5), predicted(n=200, seed=3, noise=4.0)
    metrics = compared(shifted, reference)

    assert (metrics.role, metrics.reference, metrics.shift.reference) == ("shifted", "usual", "usual")
    assert list(metrics.shift.numbers) == [quantity.name for quantity in DETECTION_NUMBERS]
    assert set(metrics.shift.roc) == {score.name for score in SCORES}
    assert metrics.shift.numbers["auroc"]["mutual_information"].value > 0.8
    assert (metrics.shift.detection.score, metrics.shift.detection.seen) == ("entropy", "less_sure")
    values = [
        value_of(metric.statistic(m.log_probs_NC, m.labels_N), m.n)
        for m in (Measured.of(shifted), Measured.of(reference))
        for metric in METRICS
        if metric.name == "nll"
    ]
    assert metrics.shift.change["nll"].value == pytest.approx(values[0] - values[1])


def test_other_data_are_compared_but_not_called_shifted():
    metrics = compared(predicted(n=60, seed=3), predicted(n=60), role="other")

    assert (metrics.role, metrics.reference) == ("other", "usual")
    assert metrics.shift.detection.seen == "unclear"


def test_a_single_labelled_example_is_no_change():
    """It cannot be resampled, so it has no draws to set beside those of the reference."""
    metrics = compared(predicted(n=1), predicted(n=60))

    assert (metrics.shift.change, metrics.shift.detection.seen) == ({}, "too_few")


def test_classes_and_constant_answers_are_told():
    metrics = labelled(predicted(n=120, classes=3))

    assert sum(each.n for each in metrics.by_class.classes) == 120
    assert sum(map(sum, metrics.by_class.matrix)) == 120
    recall = np.mean([each.recall.value for each in metrics.by_class.classes])
    assert metrics.ensemble["balanced_accuracy"].value == pytest.approx(recall)
    assert metrics.ensemble["macro_f1"].value == pytest.approx(np.mean([e.f1.value for e in metrics.by_class.classes]))
    largest = max(each.share for each in metrics.by_class.classes)
    assert metrics.constant_answers.metrics["accuracy"].value.value == pytest.approx(largest)


def test_the_two_sets_of_a_shift_are_not_paired():
    """The same examples in both: paired draws would make the difference certain."""
    same = predicted(n=200)
    change = compared(same, same).shift.change["nll"]
    alone = labelled(same, draws=400).ensemble["nll"]

    assert change.value == 0
    assert np.ptp(change.ci95) == pytest.approx(np.sqrt(2) * np.ptp(alone.ci95), rel=0.2)


def test_without_labels_a_shift_is_detected_but_no_change_is_told():
    assert compared(unlabelled(predicted(n=60)), predicted(n=60)).shift.change == {}


def test_truth_has_intervals_and_needs_no_labels():
    truth = said(Measured.of(unlabelled(predicted(n=80, truth=True)))).truth

    assert list(truth) == [quantity.name for quantity in TRUTH_NUMBERS]
    assert truth["mean_absolute_error"].ci95[0] < truth["mean_absolute_error"].value
    assert truth["accuracy_of_bayes"].value is None
    assert -1 <= truth["aleatoric_correlation"].value <= 1
