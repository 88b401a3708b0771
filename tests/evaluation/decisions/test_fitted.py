import numpy as np
import pytest
import sklearn.metrics
from ensemble_uq_llm.evaluation.decisions.held_out import HeldOut

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from small_predictions import predicted, unlabelled


def held_out(**world):
    return HeldOut(name="calibration", predictions=predicted(**{"n": 300, "seed": 9} | world))


def scaled(predictions, factor):
    """The same predictions with logits too large by a factor."""
    return Predictions(
        ids=predictions.ids,
        labels=predictions.labels,
        members=predictions.members,
        logits_MNC=(predictions.logits_MNC * factor).astype(np.float32),
    )


def test_the_temperature_undoes_an_overconfidence_on_other_examples():
    test, calibration = predicted(n=400, noise=0.3), predicted(n=400, seed=9, noise=0.3)
    hot = HeldOut(name="calibration", predictions=scaled(calibration, 4))
    measured = Measured.of(scaled(test, 4))
    calibrated = hot.temperatures(measured)

    before = sklearn.metrics.log_loss(test.labels, np.exp(measured.log_probs_NC))
    for each in calibrated.values():
        assert np.mean([t.value for t in each.temperatures]) == pytest.approx(4, rel=0.2)
        assert sklearn.metrics.log_loss(test.labels, np.exp(each.log_probs_NC)) < before - 0.2


def test_only_labelled_examples_are_returned():
    measured = Measured.of(unlabelled(predicted(n=40), first=15))

    assert {each.log_probs_NC.shape for each in held_out().temperatures(measured).values()} == {(25, 2)}


def test_sets_cover_new_examples_as_promised():
    block = held_out(n=2000).conformal_sets(Measured.of(predicted(n=2000)), draws=20)

    assert block["calibration"] == {"name": "calibration", "n": 2000}
    for method in ("lac", "aps", "class_conditional"):
        for level in ("0.80", "0.90", "0.95"):
            # Both the threshold and the coverage vary by about 0.9 points each.
            assert block["methods"][method][level]["coverage"]["value"] == pytest.approx(float(level), abs=0.04)


def test_the_seed_decides_the_random_parts():
    measured = Measured.of(predicted(n=100))

    assert held_out().conformal_sets(measured, seed=1) == held_out().conformal_sets(measured, seed=1)
    assert held_out().conformal_sets(measured, seed=1) != held_out().conformal_sets(measured, seed=2)


def test_members_are_matched_by_their_seeds():
    few = held_out(members=2)
    with pytest.raises(DataError, match="the calibration set has no member of seed 44"):
        few.temperatures(Measured.of(predicted(members=3)))
    assert held_out(members=5).conformal_sets(Measured.of(predicted(members=2)), draws=0)["calibration"]["n"] == 300


def test_only_labelled_calibration_examples_count():
    half = HeldOut(name="c", predictions=unlabelled(predicted(n=60, seed=9), first=20))

    assert half.as_json() == {"name": "c", "n": 40}
