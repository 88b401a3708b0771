import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.data.bags.bag_design import BagDesign
from ensemble_uq_llm.data.bags.drawn_bags import draw_bags
from ensemble_uq_llm.errors import DataError


def design(members=10, out=3, seed=0):
    return BagDesign(seeds=tuple(range(42, 42 + members)), out=out, seed=seed)


@given(members=st.integers(2, 13), rows=st.integers(14, 120), seed=st.integers(0, 2**63 - 1), data=st.data())
def test_every_row_is_out_of_so_many_members_and_bags_differ_by_a_row_at_most(members, rows, seed, data):
    asked = design(members, data.draw(st.integers(1, members - 1)), seed)
    bags = draw_bags(asked, rows)
    assert (bags.left_out_MN.sum(axis=0) == asked.out).all()
    sizes = (~bags.left_out_MN).sum(axis=1)
    assert sizes.max() - sizes.min() <= 1
    assert bags.smallest == sizes.min() == asked.smallest_bag(rows)
    for place, each in enumerate(asked.seeds):
        assert bags.rows_of(each).tolist() == np.flatnonzero(~bags.left_out_MN[place]).tolist()
    assert (draw_bags(asked, rows).left_out_MN == bags.left_out_MN).all()


def test_another_seed_or_company_draws_other_bags():
    first = draw_bags(design(), 100)
    assert (draw_bags(design(seed=1), 100).left_out_MN != first.left_out_MN).any()
    more = draw_bags(design(members=11), 100)
    assert (more.rows_of(42)[:60] != first.rows_of(42)[:60]).any()
    assert more.digest_of(42) != first.digest_of(42) != first.digest_of(43)


def test_pairs_of_members_leave_rows_out_together_as_often_as_chance_would_have_it():
    """Three of ten: two given members share a row with probability 3/10 * 2/9; no pair is tied to each other."""
    left_out_MN = draw_bags(design(), 30_000).left_out_MN.astype(np.int64)
    together_MM = left_out_MN @ left_out_MN.T / 30_000
    pairs = together_MM[~np.eye(10, dtype=bool)]
    error = np.sqrt(1 / 15 * 14 / 15 / 30_000)
    assert np.abs(pairs - 1 / 15).max() < 4.5 * error


def test_the_place_of_a_row_in_the_file_says_nothing_of_who_leaves_it_out():
    left_out_MN = draw_bags(design(), 30_000).left_out_MN
    halves = left_out_MN[:, :15_000].mean(axis=1) - 0.3
    assert np.abs(halves).max() < 4.5 * np.sqrt(0.3 * 0.7 / 15_000)


def test_a_digest_tells_the_number_of_rows_too():
    assert draw_bags(design(), 101).digest_of(42) != draw_bags(design(), 102).digest_of(42)


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="leave a member without any"):
        draw_bags(design(3, 2), 2)


def test_these_bags_are_those_of_runs_that_there_are():
    """A draw that changes would leave every run with out-of-bag rows that its members have seen: it is refused."""
    digest = draw_bags(design(), 50).digest_of(42)
    assert digest == "df80dc95ecab59ac674a0bd68ff361afe6a58916bea1e7a2f2a1fc8554ad6175"
