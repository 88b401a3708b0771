import pytest

from ensemble_uq_llm.posteriors.largest_accepted import START, Search


def searched(limit, *, rounds=10, largest=100.0):
    search = Search(largest=largest)
    for _ in range(rounds):
        if not search.is_over:
            search.note(accepted=search.trial <= limit)
    return search


@pytest.mark.parametrize("limit", [1e-4, 0.014, START, 0.2, 3.0])
def test_what_is_returned_was_accepted_and_lies_within_some_percent_of_what_was_not(limit):
    search = searched(limit)
    assert search.accepted <= limit < search.rejected
    assert search.rejected / search.accepted < 1.1


def test_more_rounds_come_nearer():
    assert searched(0.2, rounds=20).rejected / searched(0.2, rounds=20).accepted < 1.0001


def test_where_nothing_is_rejected_the_largest_is_the_end():
    search = searched(9.0, largest=0.5)
    assert (search.accepted, search.rejected, search.is_over) == (0.5, None, True)


def test_where_nothing_is_accepted_it_stays_at_none():
    search = searched(0.0)
    assert search.accepted == 0.0
    assert search.rejected == pytest.approx(START / 4**9)


def test_a_loss_that_does_not_rise_steadily_gives_what_was_accepted_all_the_same():
    search, told = Search(largest=10.0), []
    for accepted in (True, False, False, True, False):
        told.append((search.trial, accepted))
        search.note(accepted=accepted)
    assert search.accepted == max(trial for trial, accepted in told if accepted)
    assert search.rejected == min(trial for trial, accepted in told if not accepted)
