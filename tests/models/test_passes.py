"""Passes: nothing lost, nothing twice, within the budget, and no member cut by another's lengths."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.models.passes import cut_to_budget, plan_lanes, plan_passes

EXAMPLES = 12
LENGTHS = st.lists(st.integers(1, 30), min_size=EXAMPLES, max_size=EXAMPLES).map(np.array)
ROWS = st.lists(st.integers(0, EXAMPLES - 1), max_size=15).map(lambda rows: np.array(rows, dtype=np.int64))
BUDGETS = st.integers(1, 120)


def pieces(plan, member: int) -> list[list[int]]:
    return [chunk.rows.tolist() for each in plan for chunk in each if chunk.member == member]


@given(st.lists(ROWS, max_size=5), LENGTHS, BUDGETS)
def test_a_plan_holds_every_row_once_in_order_and_within_the_budget(rows_by_member, lengths_N, budget):
    plan = plan_passes(rows_by_member, lengths_N, budget=budget)
    for member, rows in enumerate(rows_by_member):
        assert [row for piece in pieces(plan, member) for row in piece] == rows.tolist()
    for each in plan:
        members = [chunk.member for chunk in each]
        assert members == sorted(set(members))
        assert all(len(chunk.rows) > 0 for chunk in each)
        rows = [row for chunk in each for row in chunk.rows]
        assert lengths_N[rows].sum() <= budget or len(rows) == 1


@given(ROWS.filter(len), st.lists(ROWS, max_size=4), LENGTHS, BUDGETS)
def test_a_member_is_cut_the_same_in_any_company(rows, others, lengths_N, budget):
    alone = pieces(plan_passes([rows], lengths_N, budget=budget), 0)
    for place in range(len(others) + 1):
        company = [*others[:place], rows, *others[place:]]
        assert pieces(plan_passes(company, lengths_N, budget=budget), place) == alone
    assert len(alone) == 1 or lengths_N[rows].sum() > budget, "a member that fits the budget stays whole"


@given(ROWS, LENGTHS, BUDGETS)
def test_a_cut_is_made_only_where_the_next_row_does_not_fit(rows, lengths_N, budget):
    cuts = cut_to_budget(rows, lengths_N, budget=budget)
    for cut, following in pairwise(cuts):
        assert lengths_N[cut].sum() + lengths_N[following[0]] > budget


def test_a_pass_is_filled_to_the_last_token():
    lengths_N = np.array([6, 4, 7])
    rows_by_member = [np.array([0]), np.array([1]), np.array([2])]
    assert [[chunk.member for chunk in each] for each in plan_passes(rows_by_member, lengths_N, budget=10)] == [
        [0, 1],
        [2],
    ]


@given(st.lists(ROWS, max_size=6), LENGTHS, BUDGETS, st.integers(1, 8))
def test_every_member_keeps_to_one_lane_and_is_cut_there_as_ever(rows_by_member, lengths_N, budget, count):
    lanes = plan_lanes(rows_by_member, lengths_N, budget=budget, lanes=count)
    assert len(lanes) == min(count, len(rows_by_member))
    for member, rows in enumerate(rows_by_member):
        alone = pieces(plan_passes([rows], lengths_N, budget=budget), 0)
        assert [found for plan in lanes if (found := pieces(plan, member))] == ([alone] if alone else [])


@given(st.lists(ROWS.filter(len), min_size=1, max_size=6), LENGTHS, st.integers(1, 8))
def test_lanes_are_about_equally_long(rows_by_member, lengths_N, count):
    lanes = plan_lanes(rows_by_member, lengths_N, budget=50, lanes=count)
    sizes = [int(lengths_N[rows].sum()) for rows in rows_by_member]
    loads = [sum(sizes[member] for member in {c.member for each in plan for c in each}) for plan in lanes]
    assert sum(loads) == sum(sizes)
    assert max(loads) - min(loads) <= max(sizes)
    assert [list(dict.fromkeys(c.member for c in plan[0])) for plan in lanes] == [
        sorted(c.member for c in plan[0]) for plan in lanes
    ]


def test_no_members_need_no_pass():
    assert plan_passes([], np.array([], dtype=np.int64), budget=10) == []
