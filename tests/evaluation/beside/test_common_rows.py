from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.beside.common_rows import common_rows
from ensemble_uq_llm.labels.lacking_options import LACKING
from small_predictions import predicted


def part(predictions, rows, **changes):
    return replace(
        predictions,
        ids=tuple(predictions.ids[row] for row in rows),
        labels=tuple(predictions.labels[row] for row in rows),
        logits_MNC=predictions.logits_MNC[:, rows],
        **changes,
    )


def test_rows_are_those_of_all_matched_by_id():
    whole = predicted(n=12)
    sides = {"a": part(whole, range(10)), "b": part(whole, [*range(11, 1, -1)]), "c": whole}
    found = common_rows(sides)
    for name, each in sides.items():
        assert [each.ids[row] for row in found.rows_N[name]] == [f"q{i}" for i in range(2, 10)]
    assert found.labels_N.tolist() == list(whole.labels[2:10])
    [warning] = found.warnings
    assert warning == "the sets differ: measured on the 8 examples that all runs have (a has 10, b has 10, c has 12)"


def test_labels_of_any_two_runs_that_differ_are_left_out():
    """Though the first run, to which the others are compared, knows neither."""
    whole = predicted(n=6)
    sides = {
        "a": replace(whole, labels=(None, None, 1, None, 0, None)),
        "b": replace(whole, labels=(0, 1, 1, 0, 0, None)),
        "c": replace(whole, labels=(1, 1, 1, 0, 0, None)),
    }
    found = common_rows(sides)
    assert found.labels_N.tolist() == [-1, 1, 1, 0, 0, -1]
    assert found.warnings == (
        "the labels of 1 example differ, first of 'q0'; they are left out",
        "not every label is known in 'a'; those of the other runs are used",
        "1 example without a label: no quality is measured on them",
    )


def test_so_many_labels_that_differ_are_told_to_be_of_other_questions():
    whole = predicted(n=6)
    sides = {"a": replace(whole, labels=(0, 1, 1, 0, 0, None)), "b": replace(whole, labels=(1, 0, 1, 0, 0, None))}
    assert (
        "of 2 examples differ, first of 'q0'; they are left out. That many, 40%, speak"
        in common_rows(sides).warnings[0]
    )


def test_runs_of_other_tasks_are_refused_wherever_they_stand():
    two, three = predicted(n=6), predicted(n=6, classes=3)
    with pytest.raises(DataError, match="a has 2 classes and c has 3; compare predictions of one task"):
        common_rows({"a": two, "b": two, "c": three})
    lacking_MNC = three.logits_MNC.copy()
    lacking_MNC[:, 4, 2] = LACKING
    other = replace(three, logits_MNC=lacking_MNC, labels=(0,) * 6)
    with pytest.raises(DataError, match="example 'q4' has 3 options in a and 2 in c, or other ones"):
        common_rows({"a": replace(three, labels=(0,) * 6), "b": replace(three, labels=(0,) * 6), "c": other})


def test_no_common_example_is_refused_though_every_two_runs_have_some():
    whole = predicted(n=6)
    sides = {"a": part(whole, [0, 1]), "b": part(whole, [1, 2]), "c": part(whole, [2, 0])}
    with pytest.raises(DataError, match="set 'far': no example is in all of 'a', 'b', 'c'"):
        common_rows(sides, of="far")
    assert len(common_rows({name: sides[name] for name in "ab"}).labels_N) == 1
    assert np.array_equal(common_rows({"a": whole, "b": whole}).labelled_N, np.ones(6, dtype=bool))
