from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.ordering import by_name, in_order, members_by_content, members_by_identity
from ensemble_uq_llm.predictions.record import Predictions
from small_predictions import predicted


def permuted(predictions, rows, members):
    truth_NC = predictions.true_probs_NC
    return replace(
        predictions,
        ids=tuple(predictions.ids[n] for n in rows),
        labels=tuple(predictions.labels[n] for n in rows),
        members=tuple(predictions.members[m] for m in members),
        logits_MNC=predictions.logits_MNC[np.ix_(members, rows)],
        true_probs_NC=None if truth_NC is None else truth_NC[rows],
    )


def grid(seed):
    """Predictions on a coarse grid, so that examples coincide in much."""
    rng = np.random.default_rng(seed)
    return Predictions.from_arrays(logits=rng.integers(0, 2, (3, 12, 2)), labels=rng.integers(-1, 2, 12))


@settings(max_examples=50)
@given(st.integers(0, 1000), st.permutations(range(12)), st.permutations(range(3)))
def test_any_order_of_examples_and_members_gives_one_order(seed, rows, members):
    predictions = grid(seed)
    ours, order_N = in_order(predictions)
    theirs, _ = in_order(permuted(predictions, rows, members))

    assert [predictions.ids[n] for n in order_N.tolist()] == list(ours.ids)
    assert (ours.ids, ours.labels) == (theirs.ids, theirs.labels)
    assert np.array_equal(ours.logits_MNC[members], theirs.logits_MNC)
    assert in_order(ours)[1].tolist() == list(range(12))


def test_ids_decide_only_between_examples_that_are_alike():
    predictions = predicted(n=12)
    renamed = replace(predictions, ids=predictions.ids[::-1], members=trained((9, 8, 7)))

    assert in_order(predictions)[1].tolist() == in_order(renamed)[1].tolist()


def test_numbers_go_by_their_size():
    assert by_name(["10", "9", "b", "a1"]).tolist() == [1, 2, 0, 3]


def test_members_go_by_what_they_say():
    values_MNC = np.random.default_rng(0).random((4, 5, 2))

    shuffled = values_MNC[[2, 0, 3, 1]]
    assert np.array_equal(values_MNC[members_by_content(values_MNC)], shuffled[members_by_content(shuffled)])


def test_the_answer_mass_goes_with_its_row():
    whole = predicted(n=9, members=3)
    mass_MN = np.random.default_rng(3).uniform(size=(3, 9))
    shuffled = replace(whole, answer_mass_MN=mass_MN, members=whole.members[::-1])
    ordered, rows_N = in_order(shuffled)
    np.testing.assert_array_equal(ordered.answer_mass_MN, mass_MN[:, rows_N])
    np.testing.assert_array_equal(members_by_identity(shuffled).answer_mass_MN, mass_MN[::-1])
