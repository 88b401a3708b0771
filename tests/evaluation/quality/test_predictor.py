import numpy as np
import pytest

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.quality.metrics import METRICS, metrics_for, quality_family, summed_for
from ensemble_uq_llm.evaluation.quality.noise_floor import noise_floor
from ensemble_uq_llm.evaluation.quality.predictor import quality_changes, quality_estimates
from ensemble_uq_llm.evaluation.quality.true_error import error_laws
from ensemble_uq_llm.evaluation.records import MetricEstimate
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.statistics.bootstrap import resample
from ensemble_uq_llm.statistics.intervals import Comparison
from small_predictions import predicted


def drawn(predictions, draws=40):
    measured = Measured.of(predictions)
    family = quality_family(measured.log_probs_NC, measured.labels_N)
    kinds = summed_for(metrics_for(measured.classes))
    errors = error_laws({None: measured.log_probs_NC}, measured.labels_N, kinds, draws=draws, seed=0)[None]
    return measured.log_probs_NC, resample(family, sizes=[measured.n], draws=draws, seed=0), errors


def estimates(predictions, draws=40):
    return quality_estimates(*drawn(predictions, draws), draws=draws, seed=0)


def test_only_calibration_errors_have_noise_floors():
    predictions = predicted(n=100)
    got = estimates(predictions)

    makers = {metric.name: metric.calibration for metric in METRICS if metric.calibration is not None}
    assert {name for name, each in got.items() if each.noise_floor is not None} == set(makers)
    log_probs_NC = Measured.of(predictions).log_probs_NC
    floors = noise_floor(log_probs_NC, {name: make(log_probs_NC) for name, make in makers.items()}, draws=40, seed=0)
    for name, floor in floors.items():
        assert got[name].noise_floor == floor.beside(got[name].value, examples=len(log_probs_NC))
        assert 0 <= got[name].noise_floor.mean < got[name].noise_floor.p95


def test_calibration_errors_but_the_largest_gap_are_freed_of_noise():
    log_probs_NC, numbers, errors = drawn(predicted(n=100))
    got = quality_estimates(log_probs_NC, numbers, errors, draws=40, seed=0)

    freed = {metric.name for metric in METRICS if metric.calibration and metric.name != "mce"}
    assert {name for name, each in got.items() if each.debiased is not None} == freed == set(errors)
    for name in freed:
        assert got[name].debiased == errors[name].estimate()
        assert errors[name].observed == pytest.approx(got[name].value, abs=1e-12 if name != "smooth_ece" else 2e-3)
    assert got["binary_ece"].value == pytest.approx(got["classwise_ece"].value)
    assert got["binary_ece"].debiased == got["classwise_ece"].debiased


def test_the_parts_of_the_brier_score_add_up():
    for classes in (2, 4):
        got = estimates(predicted(n=120, classes=classes))
        part = {name.removeprefix("brier_"): each.value for name, each in got.items() if "brier_" in name}

        total = part["reliability"] - part["resolution"] + part["uncertainty"] + part["within_bins"]
        assert total == pytest.approx(got["brier"].value)


def all_right(n):
    labels_N = np.random.default_rng(0).integers(2, size=n)
    return Predictions(
        ids=tuple(map(str, range(n))),
        labels=tuple(labels_N.tolist()),
        members=trained((1,)),
        logits_MNC=(3.0 * np.eye(2)[labels_N])[None].astype(np.float32),
    )


def test_without_a_mistake_the_interval_of_the_accuracy_is_the_exact_one():
    assert estimates(all_right(40))["accuracy"] == MetricEstimate(value=1.0, ci95=clopper_pearson(40, 40))
    assert estimates(all_right(40), draws=0)["accuracy"].ci95 is None


def test_what_is_compared_with_itself_has_not_changed_unless_it_is_unpaired():
    _, numbers, errors = drawn(predicted(n=100))

    changes = quality_changes(numbers, numbers, errors, errors, paired=True)
    untested = {name: changes.pop(name) for name in ("mce", "brier_resolution")}
    assert set(untested.values()) == {Comparison(value=0.0, ci95=None, p_value=None)}
    assert set(changes.values()) == {Comparison(value=0.0, ci95=(0.0, 0.0), p_value=1.0)}
    apart = quality_changes(numbers, numbers, errors, errors, paired=False)
    for name in changes:
        assert apart[name].value == pytest.approx(0.0, abs=1e-12)
        assert apart[name].ci95[0] < 0 < apart[name].ci95[1]
