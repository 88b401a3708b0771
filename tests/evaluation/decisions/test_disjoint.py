from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.disjoint import shared_rows, without_test_examples
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_sets
from ensemble_uq_llm.member import trained
from small_predictions import predicted, unlabelled


def leaking(test, calibration, rows):
    """The calibration set with some test rows at the same places, hence under the same ids."""
    logits_MNC = calibration.logits_MNC.copy()
    logits_MNC[:, rows] = test.logits_MNC[:, rows]
    return replace(calibration, logits_MNC=logits_MNC)


def test_the_same_names_in_two_files_need_not_be_the_same_examples():
    """Ids that count rows coincide in any two files."""
    test, calibration = predicted(30, seed=1), predicted(30, seed=2)
    assert test.ids == calibration.ids
    assert shared_rows(test, calibration) == []
    calibration.logits_MNC[0, 20] = test.logits_MNC[0, 20]  # one member's logits may be equal by chance
    assert without_test_examples(calibration, test) is calibration


def test_one_example_that_coincides_is_left_out_and_said():
    test, calibration = predicted(30, seed=1), predicted(40, seed=2)
    with pytest.warns(UserWarning, match=r"2 of 30 test examples are .* too \(the first is 'q12'\): they are"):
        fitted = evaluate(test, calibration=leaking(test, calibration, [12, 13]), draws=0).fitted
    labels = tuple(None if row in (12, 13) else label for row, label in enumerate(calibration.labels))
    assert fitted.calibration.n == 38
    assert (
        fitted.temperatures
        == evaluate(test, calibration=replace(calibration, labels=labels), draws=0).fitted.temperatures
    )


def test_a_calibration_set_that_is_the_test_set_is_refused():
    whole = predicted(60)
    test = replace(whole, ids=whole.ids[:20], labels=whole.labels[:20], logits_MNC=whole.logits_MNC[:, :20])
    assert shared_rows(test, unlabelled(whole, first=20)) == []  # one file may hold both
    assert shared_rows(test, whole) == list(range(20))
    with pytest.raises(DataError, match=r"20 of 20 test examples are calibration examples too .* no other is left"):
        without_test_examples(test, test)


def test_another_set_that_holds_calibration_examples_is_not_judged_by_what_was_fitted_on_them():
    test, calibration = predicted(30, seed=1), predicted(40, seed=2)
    sets = {"validation": test, "all of it": calibration, "new": predicted(30, seed=3)}
    with pytest.warns(UserWarning, match="all of it: 40 of its 40 examples are calibration examples"):
        evaluations = evaluate_sets(sets, calibration=calibration, draws=0)
    assert evaluations["all of it"].fitted is None
    assert evaluations["validation"].fitted is evaluations["new"].fitted
    assert np.isfinite(evaluations["all of it"].metrics.ensemble["nll"].value)


def test_a_calibration_set_of_other_members_or_classes_is_refused():
    with pytest.raises(DataError, match="the calibration set has no member of seed 43;"):
        shared_rows(predicted(), replace(predicted(), members=trained((42, 44, 7))))
    with pytest.raises(DataError, match="has 3 classes, the test set 2"):
        shared_rows(predicted(), predicted(classes=3))
