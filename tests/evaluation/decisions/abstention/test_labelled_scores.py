import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import labelled_scores
from ensemble_uq_llm.evaluation.measured import uncertainty_of
from ensemble_uq_llm.evaluation.scores import SCORES, uncertainty_scores
from small_predictions import left_out_of, predicted, unlabelled


def test_they_are_the_scores_and_errors_of_the_labelled_rows():
    predictions = unlabelled(predicted(n=60), first=20)
    labelled, uncertainty = labelled_scores(predictions), uncertainty_of(predictions)

    assert list(labelled.scores) == [score.name for score in SCORES]
    for name, scores_N in uncertainty_scores(uncertainty).items():
        assert (labelled.scores[name] == scores_N[20:]).all()
    assert (labelled.wrong_N == (uncertainty.prediction_N != predictions.labels_N)[20:]).all()
    with pytest.raises(DataError, match="no row has a label, and a promise is fitted on labelled ones"):
        labelled_scores(unlabelled(predictions))


def test_rows_out_of_bags_carry_no_promise():
    with pytest.raises(
        DataError, match=r"by the members that left it out, carry no promise: .* \(calibration_fraction"
    ):
        labelled_scores(left_out_of(predicted(n=60), out=1))


def test_a_single_member_has_no_scores_of_disagreement():
    assert "mutual_information" not in labelled_scores(predicted(members=1)).scores


def test_rows_by_predicted_class_and_by_column():
    predictions = predicted(n=30, classes=3)
    answers_N = uncertainty_of(predictions).prediction_N
    by_class = labelled_scores(predictions, by="class").rows_by_group()
    assert {name: rows.tolist() for name, rows in by_class.items()} == {
        str(c): np.flatnonzero(answers_N == c).tolist() for c in range(3)
    }
    groups = {name: "even" if int(name[1:]) % 2 == 0 else "odd" for name in predictions.ids}
    by_column = labelled_scores(predictions, by="group", groups=groups, column="parity").rows_by_group()
    assert by_column["odd"].tolist() == list(range(1, 30, 2))
    assert labelled_scores(predictions).rows_by_group()[None].tolist() == list(range(30))


def test_groups_that_are_missing_or_too_many_are_refused():
    predictions = predicted(n=120)
    with pytest.raises(DataError, match="1 labelled rows have no country; the first is 'q5'; fill it"):
        labelled_scores(
            predictions, by="group", groups={name: "x" for name in predictions.ids if name != "q5"}, column="country"
        )
    with pytest.raises(DataError, match="column 'id' has 120 different values, and 100 groups at most"):
        labelled_scores(predictions, by="group", groups={name: name for name in predictions.ids}, column="id")
