import json
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics

from ensemble_uq_llm.errors import DataError, IntegrityError
from ensemble_uq_llm.evaluation.decisions import conformal
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted, fit_decisions
from ensemble_uq_llm.evaluation.decisions.temperature import fit_temperatures
from ensemble_uq_llm.evaluation.records import CalibrationSet
from ensemble_uq_llm.evaluation.scores import uncertainty_scores
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.member import MemberId
from small_predictions import predicted, unlabelled

SAMPLES = (MemberId(42), MemberId(42, 1), MemberId(7))
"""Two are samples of one seed."""


def fit(calibration, *, seed=0, draws=50):
    return fit_decisions(calibration, name="calibration", rng=np.random.default_rng(seed), draws=draws, seed=seed)


def apply(fitted, predictions, *, seed=1):
    return fitted.apply(predictions, rng=np.random.default_rng(seed))


def assert_equal(one, other):
    """Bit for bit."""
    assert one.log_probs_NC.keys() == other.log_probs_NC.keys()
    assert all((one.log_probs_NC[place] == other.log_probs_NC[place]).all() for place in one.log_probs_NC)
    assert len(one.sets_RNC) == len(other.sets_RNC)
    assert all((ours == theirs).all() for ours, theirs in zip(one.sets_RNC, other.sets_RNC, strict=True))
    assert (one.score_N == other.score_N).all()


@pytest.mark.parametrize("classes", [2, 5])
def test_saved_loaded_and_applied_equals_applied_directly(tmp_path, classes):
    calibration = replace(predicted(n=33, classes=classes, seed=9), members=SAMPLES)
    new = replace(predicted(n=50, classes=classes, seed=2), members=SAMPLES)
    fitted = fit(calibration)
    fitted.write(tmp_path / "decision.json")
    loaded = Fitted.read(tmp_path / "decision.json")

    assert loaded == fitted
    assert any(None in rule.thresholds for rule in loaded.rules)  # too few examples: stands for an infinite one
    assert_equal(apply(loaded, new), apply(fitted, new))


def test_it_is_what_its_parts_say():
    calibration, new = predicted(n=300, seed=9), predicted(n=50)
    fitted, rng = fit(calibration, seed=3), np.random.default_rng(3)
    decisions = apply(fitted, new)

    assert fitted.calibration == CalibrationSet(name="calibration", n=300)
    assert (fitted.members, fitted.classes) == (calibration.members, 2)
    temperatures = fit_temperatures(calibration.logits_MNC, calibration.labels_N, calibration.members)
    assert fitted.temperatures == temperatures
    probs_NC = measure_uncertainty(calibration.logits_MNC).probs_NC
    assert fitted.rules == conformal.fit_rules(probs_NC, calibration.labels_N, rng=rng)
    uncertainty = measure_uncertainty(new.logits_MNC)
    sets = conformal.include(fitted.rules, uncertainty.probs_NC, rng=np.random.default_rng(1))
    assert all((ours == theirs).all() for ours, theirs in zip(decisions.sets_RNC, sets, strict=True))
    assert (decisions.score_N == uncertainty_scores(uncertainty)[fitted.best_score.chosen]).all()


def test_the_temperature_undoes_an_overconfidence_on_other_examples():
    hot, calibration = (
        replace(each, logits_MNC=4 * each.logits_MNC)
        for each in (predicted(n=400, noise=0.3), predicted(n=400, seed=9, noise=0.3))
    )
    fitted = fit(calibration)

    before = sklearn.metrics.log_loss(hot.labels, measure_uncertainty(hot.logits_MNC).probs_NC)
    assert fitted.temperatures.pooled.value == pytest.approx(4, rel=0.2)
    for log_probs_NC in apply(fitted, hot).log_probs_NC.values():
        assert sklearn.metrics.log_loss(hot.labels, np.exp(log_probs_NC)) < before - 0.2


def test_sets_cover_new_examples_as_promised():
    fitted, new = fit(predicted(n=2000, seed=9), draws=0), predicted(n=2000)

    for rule, sets_NC in zip(fitted.rules, apply(fitted, new).sets_RNC, strict=True):
        # Both the threshold and the coverage vary by about 0.9 points each.
        assert sets_NC[np.arange(2000), new.labels_N].mean() == pytest.approx(rule.level, abs=0.04)


def test_the_generator_decides_the_random_parts():
    calibration, new = predicted(n=100, seed=9), predicted(n=100)

    assert fit(calibration, seed=1).rules == fit(calibration, seed=1).rules != fit(calibration, seed=2).rules
    one, other = (apply(fit(calibration), new, seed=seed) for seed in (1, 2))
    assert any((ours != theirs).any() for ours, theirs in zip(one.sets_RNC, other.sets_RNC, strict=True))


def test_members_are_matched_by_who_they_are():
    calibration, new = (replace(predicted(n=60, seed=seed), members=SAMPLES) for seed in (9, 2))
    fitted, straight = fit(calibration), apply(fit(calibration), new)
    turned = replace(new, members=(SAMPLES[2], SAMPLES[0], SAMPLES[1]), logits_MNC=new.logits_MNC[[2, 0, 1]])
    more = replace(
        new, members=(*SAMPLES, MemberId(42, 5)), logits_MNC=np.concatenate([new.logits_MNC, new.logits_MNC[:1]])
    )

    assert_equal(apply(fitted, turned), straight)
    assert_equal(apply(fitted, more), straight)
    with pytest.raises(DataError, match="the set has no member of seed 42, sample 1; predict it with the same members"):
        apply(fitted, replace(new, members=(MemberId(42), MemberId(42, 2), MemberId(7))))


def test_another_number_of_classes_is_refused():
    with pytest.raises(DataError, match="the set has 3 classes, the calibration set 2"):
        apply(fit(predicted(seed=9)), predicted(classes=3))


def test_only_labelled_calibration_examples_count():
    calibration = predicted(n=60, seed=9)
    scrambled = calibration.logits_MNC.copy()
    scrambled[:, :20] *= -9
    part = fit(unlabelled(replace(calibration, logits_MNC=scrambled), first=20))
    rest = replace(
        calibration, ids=calibration.ids[20:], labels=calibration.labels[20:], logits_MNC=calibration.logits_MNC[:, 20:]
    )

    assert part.calibration.n == 40
    assert part == fit(rest)
    with pytest.raises(DataError, match="the calibration set has no labelled example to fit on"):
        fit(unlabelled(calibration))


def test_the_calibration_set_is_known_again():
    calibration = predicted(n=60, seed=9)
    other = replace(calibration, labels=(1 - calibration.labels[0], *calibration.labels[1:]))

    assert fit(calibration).calibration_sha256 == fit(replace(calibration)).calibration_sha256
    assert fit(calibration).calibration_sha256 != fit(other).calibration_sha256
    assert fit(calibration).calibration_sha256 != fit(replace(calibration, members=SAMPLES)).calibration_sha256


def test_a_file_that_cannot_be_used_is_refused(tmp_path):
    path = tmp_path / "decision.json"
    with pytest.raises(IntegrityError, match=r"decision\.json: there is no such file; evaluate with a calibration set"):
        Fitted.read(path)
    fit(predicted(seed=9)).write(path)
    content = json.loads(path.read_text())
    for version in (1, 9):
        path.write_text(json.dumps(content | {"schema_version": version}))
        with pytest.raises(
            IntegrityError, match=f"schema_version is {version}, and this version reads 2; evaluate with"
        ):
            Fitted.read(path)
    path.write_text(json.dumps(content | {"classes": "many"}))
    with pytest.raises(IntegrityError, match=r"decision\.json: classes: Input should be a valid integer"):
        Fitted.read(path)
