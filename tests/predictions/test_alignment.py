from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.alignment import align
from ensemble_uq_llm.predictions.record import Predictions
from small_predictions import predicted, unlabelled


def chosen(predictions, rows, *, labels=None, members=None):
    """Some rows in some order, with other labels or another order of the members."""
    order = list(range(len(predictions.members))) if members is None else members
    return Predictions(
        ids=tuple(predictions.ids[row] for row in rows),
        labels=tuple(predictions.labels[row] for row in rows) if labels is None else tuple(labels),
        members=tuple(predictions.members[m] for m in order),
        logits_MNC=predictions.logits_MNC[order][:, list(rows)],
    )


def test_a_run_and_itself_in_any_order():
    a = predicted(n=10)
    aligned = align(a, chosen(a, [3, 1, 0, 2, 9, 8, 7, 6, 4, 5], members=[2, 0, 1]))

    assert (aligned.same_test_set, aligned.same_predictions, aligned.warnings) == (True, True, ())
    assert np.array_equal(aligned.a_MNC, aligned.b_MNC)
    assert np.array_equal(aligned.a_MNC, a.logits_MNC)
    assert aligned.labels_N.tolist() == list(a.labels)


@pytest.mark.parametrize("b", [predicted(n=10, members=2), predicted(n=10, noise=2.0)])
def test_other_members_on_the_same_examples(b):
    aligned = align(predicted(n=10), b)

    assert (aligned.same_test_set, aligned.same_predictions, aligned.warnings) == (True, False, ())


def test_the_same_logits_of_other_seeds_are_another_run():
    a = predicted(n=10)

    assert not align(a, replace(a, members=trained((1, 2, 3)))).same_predictions
    # Nor does a difference go unseen because it lies in an example that is left out.
    logits_MNC = a.logits_MNC.copy()
    logits_MNC[0, 0] += 1
    assert not align(unlabelled(a, first=1), replace(unlabelled(a, first=1), logits_MNC=logits_MNC)).same_predictions


def test_examples_that_only_one_has():
    a = predicted(n=10)
    aligned = align(chosen(a, range(7)), chosen(a, [9, 8, 6, 5, 4, 2]))

    assert (aligned.same_test_set, aligned.same_predictions) == (False, False)
    assert aligned.warnings == (
        "the test sets differ: 3 examples are only in A and 2 only in B; compared on the 4 that both have",
    )
    assert np.array_equal(aligned.a_MNC, a.logits_MNC[:, [2, 4, 5, 6]])
    assert np.array_equal(aligned.b_MNC, aligned.a_MNC)


def test_labels_that_differ_are_left_out():
    a = predicted(n=12)
    labels = [1 - a.labels[0], a.labels[1], 1 - a.labels[2], *a.labels[3:]]
    aligned = align(a, chosen(a, range(12), labels=labels))

    assert (aligned.same_test_set, aligned.same_predictions) == (False, True)
    assert aligned.warnings == ("the labels of 2 examples differ, first of 'q0'; they are left out",)
    assert np.array_equal(aligned.b_MNC, a.logits_MNC[:, [1, *range(3, 12)]])


def test_so_many_labels_that_differ_are_no_corrections():
    a = predicted(n=12)
    labels = [*(1 - label for label in a.labels[:3]), *a.labels[3:11], None]
    [warning, _] = align(a, chosen(a, range(12), labels=labels)).warnings
    assert warning.startswith(
        "the labels of 3 examples differ, first of 'q0'; they are left out. That many, 27%, speak"
    )


def test_a_label_that_one_has_holds_for_both():
    a = predicted(n=6)
    one = chosen(a, range(6), labels=[None, None, *a.labels[2:5], None])
    other = chosen(a, range(6), labels=[None, *a.labels[1:4], None, None])
    aligned = align(one, other)

    assert aligned.warnings == (
        "A has no label for 1 examples; B's are used",
        "B has no label for 1 examples; A's are used",
        "2 examples have no label and are left out",
    )
    assert aligned.labels_N.tolist() == list(a.labels[1:5])
    assert not aligned.same_test_set
    assert align(one, one).same_test_set


@given(st.data())
def test_every_row_is_of_one_example(data):
    whole = predicted(n=12)
    a, b = (chosen(whole, data.draw(st.permutations(range(12)))[: data.draw(st.integers(7, 12))]) for _ in "AB")
    aligned = align(a, b)

    common = [name for name in a.ids if name in b.ids]
    rows = [whole.ids.index(name) for name in common]
    assert aligned.labels_N.tolist() == [whole.labels[row] for row in rows]
    assert np.array_equal(aligned.a_MNC, whole.logits_MNC[:, rows])
    assert np.array_equal(aligned.b_MNC, whole.logits_MNC[:, rows])


def test_what_cannot_be_compared():
    a = predicted(n=4)
    with pytest.raises(DataError, match="A has 2 classes and B has 3; compare predictions of the same task"):
        align(a, predicted(n=4, classes=3))
    with pytest.raises(DataError, match=r"no example in common \(A has 'q0' first, B 'x0'\); compare predictions of"):
        align(a, replace(a, ids=("x0", "x1", "x2", "x3")))
    with pytest.raises(DataError, match="A and B have 4 examples in common, but their labels all differ"):
        align(a, replace(a, labels=tuple(1 - label for label in a.labels)))
    with pytest.raises(DataError, match="A and B have 4 examples in common, but none of them has a label"):
        align(unlabelled(a), unlabelled(a))
