"""How the sequences of all members are cut into passes that fit a token budget.

A member's arithmetic must not depend on its company, so how a member's own sequences are cut depends on
nothing but their lengths and the budget; only whole cuts of different members then share a pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Indices of examples."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of one member that go through the model in one pass."""

    member: int
    rows: Rows


def plan_lanes(
    rows_by_member: Sequence[Rows], lengths_N: NDArray[np.int64], *, budget: int, lanes: int
) -> list[list[list[Chunk]]]:
    """Spread the members over lanes so that these have about equally many tokens; return each lane's passes.

    The longest member goes first to the lane with the fewest tokens (Graham, 1969). A member keeps to one lane, so
    that its gradients are summed in one order whatever the lanes' pace.
    """
    lanes = min(lanes, len(rows_by_member))
    sizes = [int(lengths_N[rows].sum()) for rows in rows_by_member]
    loads = [0] * lanes
    members_by_lane: list[list[int]] = [[] for _ in range(lanes)]
    for member in sorted(range(len(sizes)), key=lambda member: -sizes[member]):
        lane = loads.index(min(loads))
        loads[lane] += max(1, sizes[member])
        members_by_lane[lane].append(member)
    return [_passes_of(sorted(members), rows_by_member, lengths_N, budget) for members in members_by_lane]


def _passes_of(
    members: Sequence[int], rows_by_member: Sequence[Rows], lengths_N: NDArray[np.int64], budget: int
) -> list[list[Chunk]]:
    passes = plan_passes([rows_by_member[member] for member in members], lengths_N, budget=budget)
    return [[Chunk(members[chunk.member], chunk.rows) for chunk in chunks] for chunks in passes]


def plan_passes(rows_by_member: Sequence[Rows], lengths_N: NDArray[np.int64], *, budget: int) -> list[list[Chunk]]:
    """Group the members' rows into passes of at most `budget` tokens; a longer sequence is a pass by itself.

    Every member stays whole where it fits the budget. No pass holds a member twice.
    """
    cuts = [cut_to_budget(rows, lengths_N, budget=budget) for rows in rows_by_member]
    passes: list[list[Chunk]] = []
    for turn in range(max(map(len, cuts), default=0)):
        room = 0
        for member, own in enumerate(cuts):
            if turn >= len(own):
                continue
            size = int(lengths_N[own[turn]].sum())
            if size > room:
                passes.append([])
                room = budget
            passes[-1].append(Chunk(member, own[turn]))
            room -= size
    return passes


def cut_to_budget(rows: Rows, lengths_N: NDArray[np.int64], *, budget: int) -> list[Rows]:
    """Cut rows, in their order, into runs of at most `budget` tokens."""
    cuts: list[list[int]] = []
    room = 0
    for row in rows.tolist():
        length = int(lengths_N[row])
        if length > room:
            cuts.append([])
            room = budget
        cuts[-1].append(row)
        room -= length
    return [np.array(cut, dtype=np.int64) for cut in cuts]


def prediction_passes(members: int, lengths_N: NDArray[np.int64], *, budget: int) -> Iterator[tuple[range, Rows]]:
    """Yield passes of all examples through all members: the members of each, and its rows, longest first.

    A pass holds all members of its rows where the budget allows, else a group of them.
    """
    if lengths_N.size == 0 or members == 0:
        return
    group_size = min(members, max(1, budget // int(lengths_N.max())))
    longest_first = np.argsort(-lengths_N, kind="stable")
    for rows in cut_to_budget(longest_first, lengths_N, budget=budget // group_size):
        for start in range(0, members, group_size):
            yield range(start, min(start + group_size, members)), rows
