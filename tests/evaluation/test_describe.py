import numpy as np
import pytest
from ensemble_uq_llm.evaluation.decisions.held_out import HeldOut

from ensemble_uq_llm.evaluation import describe as blocks
from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS, metrics_for
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.evaluation.statistics.binomial import clopper_pearson
from ensemble_uq_llm.evaluation.statistics.statistic import value_of
from ensemble_uq_llm.member import trained
from small_predictions import predicted, unlabelled

DRAWS = 40


def labelled(predictions, draws=DRAWS, seed=0):
    measured = Measured.of(predictions)
    resampled = blocks.resample_labelled(measured, {}, draws=draws, seed=seed)
    return blocks.labelled(measured, resampled, draws=draws, seed=seed)


def test_members_are_estimated_each_alone_and_gains_are_paired():
    predictions = predicted(n=150)
    block, measured = labelled(predictions), Measured.of(predictions)

    for member, log_probs_NC in zip(block["per_member"], measured.log_probs_MNC, strict=True):
        for metric in HEADLINE:
            alone = value_of(metric.statistic(log_probs_NC, measured.labels_N), 150)
            assert member[metric.name]["value"] == pytest.approx(alone)
            assert member[metric.name]["ci95"][0] < member[metric.name]["ci95"][1]
    gain = block["gain"]["nll"]["over_mean"]
    difference = block["ensemble"]["nll"]["value"] - block["members_mean"]["nll"]["value"]
    assert gain["value"] == pytest.approx(difference)
    # Members and ensemble share most of their luck with the examples, so their difference is far surer.
    assert np.ptp(gain["ci95"]) < np.ptp(block["ensemble"]["nll"]["ci95"]) / 2


def test_only_calibration_errors_have_noise_floors():
    ensemble = labelled(predicted(n=100))["ensemble"]

    assert {name for name, each in ensemble.items() if "noise_floor" in each} == {
        metric.name for metric in METRICS if metric.calibration is not None
    }
    for each in ensemble.values():
        floor = each.get("noise_floor", {"mean": 0.0, "p95": 1.0, "p_value": 1.0})
        assert 0 <= floor["mean"] < floor["p95"]
        assert 0 < floor["p_value"] <= 1


def test_the_parts_of_the_brier_score_add_up():
    for classes in (2, 4):
        ensemble = labelled(predicted(n=120, classes=classes))["ensemble"]
        part = {name.removeprefix("brier_"): each["value"] for name, each in ensemble.items() if "brier_" in name}

        total = part["reliability"] - part["resolution"] + part["uncertainty"] + part["within_bins"]
        assert total == pytest.approx(ensemble["brier"]["value"])


def test_every_score_has_every_quantity_and_a_curve():
    block = labelled(predicted(n=100))

    assert list(block["selective"]) == [score.name for score in SCORES]
    for each in block["selective"].values():
        assert set(each) == {quantity.name for quantity in SELECTIVE_NUMBERS} | {"curve"}
        assert each["curve"]["coverage"][-1] == 1.0
        assert each["curve"]["risk"][-1] == pytest.approx(1 - block["ensemble"]["accuracy"]["value"])
    assert block["best_score"]["compared"] == len(SCORES)
    assert block["best_score"]["answer"].startswith("Use ")


def test_a_single_member_gains_nothing_and_has_no_anatomy():
    block = labelled(predicted(n=50, members=1))

    assert block["members_mean"]["nll"]["value"] == pytest.approx(block["ensemble"]["nll"]["value"])
    assert not {"gain", "size_curve", "diversity"} & set(block)


def all_right(n):
    rng = np.random.default_rng(0)
    labels_N = rng.integers(2, size=n)
    logits_NC = 3.0 * np.eye(2)[labels_N]
    return Predictions(
        ids=tuple(map(str, range(n))),
        labels=tuple(labels_N.tolist()),
        members=trained((1,)),
        logits_MNC=logits_NC[None].astype(np.float32),
    )


def test_without_a_mistake_the_interval_of_the_accuracy_is_the_exact_one():
    assert labelled(all_right(40))["ensemble"]["accuracy"] == {"value": 1.0, "ci95": list(clopper_pearson(40, 40))}
    assert labelled(all_right(40), draws=0)["ensemble"]["accuracy"]["ci95"] is None


def test_what_is_said_without_labels():
    predictions = unlabelled(predicted(n=30))
    block = blocks.describe(Measured.of(predictions))

    assert (block["n"], block["labelled"], block["members"], block["classes"]) == (30, 0, 3, 2)
    assert block["uncertainty"]["mean_confidence"] == pytest.approx(
        Measured.of(predictions).uncertainty.confidence_N.mean()
    )


def test_the_change_by_a_temperature_is_paired_with_what_was_before():
    measured = Measured.of(predicted(n=150))
    held_out = HeldOut(name="calibration", predictions=predicted(n=150, seed=5))
    calibrated = held_out.temperatures(measured)
    resampled = blocks.resample_labelled(measured, calibrated, draws=DRAWS, seed=0)
    block = blocks.temperature(measured, held_out, calibrated, resampled, draws=DRAWS, seed=0)
    before = blocks.labelled(measured, resampled, draws=DRAWS, seed=0)["ensemble"]

    assert block["calibration"] == {"name": "calibration", "n": 150}
    for where in ("pooled", "per_member"):
        each = block[where]
        assert set(each["after"]) == set(each["change"]) == {metric.name for metric in metrics_for(2)}
        difference = each["after"]["nll"]["value"] - before["nll"]["value"]
        assert each["change"]["nll"]["value"] == pytest.approx(difference)
        assert np.ptp(each["change"]["nll"]["ci95"]) < np.ptp(before["nll"]["ci95"]) / 2
    # One temperature for all changes no order.
    assert block["pooled"]["change"]["auc"]["value"] == pytest.approx(0, abs=1e-12)


def compared(shifted, reference, **seeds):
    sides = [Measured.of(each) for each in (shifted, reference)]
    numbers = [blocks.resample_labelled(each, {}, draws=400, seed=0) if each.n else None for each in sides]
    return blocks.shift(*sides, resampled=numbers[0], reference_resampled=numbers[1], draws=DRAWS, seed=0)


def test_a_shift_is_detected_and_the_change_of_quality_told():
    reference, shifted = predicted(n=200, noise=0.5), predicted(n=200, seed=3, noise=4.0)
    block = compared(shifted, reference)

    assert set(block) == {"auroc", "aupr_in", "aupr_out", "fpr95", "best", "change"}
    assert block["best"]["auroc"] == max(each["value"] for each in block["auroc"].values()) > 0.8
    values = [
        value_of(metric.statistic(m.log_probs_NC, m.labels_N), m.n)
        for m in (Measured.of(shifted), Measured.of(reference))
        for metric in METRICS
        if metric.name == "nll"
    ]
    assert block["change"]["nll"]["value"] == pytest.approx(values[0] - values[1])


def test_the_two_sets_of_a_shift_are_not_paired():
    """The same examples in both: paired draws would make the difference certain."""
    same = predicted(n=200)
    change = compared(same, same)["change"]["nll"]
    alone = labelled(same, draws=400)["ensemble"]["nll"]

    assert change["value"] == 0
    assert np.ptp(change["ci95"]) == pytest.approx(np.sqrt(2) * np.ptp(alone["ci95"]), rel=0.2)


def test_without_labels_a_shift_is_detected_but_no_change_is_told():
    assert "change" not in compared(unlabelled(predicted(n=60)), predicted(n=60))


def test_truth_has_intervals_and_needs_no_labels():
    block = blocks.truth(Measured.of(unlabelled(predicted(n=80, truth=True))), draws=DRAWS, seed=0)

    assert block["mean_absolute_error"]["ci95"][0] < block["mean_absolute_error"]["value"]
    assert block["accuracy_of_bayes"]["value"] is None
    assert -1 <= block["aleatoric_correlation"]["value"] <= 1
