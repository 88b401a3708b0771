"""Which members were not trained on which training rows: only there do their predictions say anything of new rows.

A file has one row for each such pair of example and member, and the column `out_of_bag`. In memory the other pairs
have the logits of the first member that left the example out, so that whoever overlooks the mask sees nothing that a
member has learned by heart.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.text import clipped

COLUMN: Final = "out_of_bag"
"""The column of a file that has no row for members which were trained on the example."""


MOST_PAIRS: Final = 200
"""Pairs of member and example, for each that is there: a hundred where one member of a hundred leaves a row out."""


def check_left_out(left_out_MN: NDArray[np.bool_] | None, ids: Sequence[str], members: int) -> None:
    """Raise DataError where every member was trained on an example, ValueError where the mask is of another shape."""
    if left_out_MN is None:
        return
    if left_out_MN.shape != (members, len(ids)):
        raise ValueError(f"left_out_MN has shape {left_out_MN.shape}, but there are {members} members, {len(ids)} ids")
    if not (has_N := left_out_MN.any(axis=0)).all():
        raise DataError(
            f"example {clipped(ids[int(np.argmin(has_N))])}: every member was trained on it; leave it out, for what "
            "they say of it says nothing of new examples"
        )


def filled(values_MN: NDArray[Any], left_out_MN: NDArray[np.bool_]) -> NDArray[Any]:
    """Return values by member and example (and what follows), those that do not count being the first that do."""
    member_MN = np.where(left_out_MN, np.arange(len(left_out_MN))[:, None], left_out_MN.argmax(axis=0))
    found: NDArray[Any] = values_MN[member_MN, np.arange(left_out_MN.shape[1])]
    return found


def without_the_others(table: Any, left_out_MN: NDArray[np.bool_] | None) -> Any:
    """Return a table of all pairs, member after member, with the column, and without the pairs that do not count."""
    if left_out_MN is None:
        return table
    kept = table.filter(pa.array(left_out_MN.reshape(-1)))
    return kept.append_column(COLUMN, pa.array(np.ones(kept.num_rows, dtype=np.int8)))


def order_of_pairs(
    id_P: NDArray[np.int64], member_P: NDArray[np.int64], *, examples: int, members: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return which of a table's rows stands for every pair, member after member, as `filled`, and the mask [M, N].

    Every pair is there once at most, and of every example there is one.

    Raises:
        DataError: there are so few pairs that the table of all would be out of all proportion.
    """
    if members * examples > MOST_PAIRS * len(id_P):
        raise DataError(
            f"{len(id_P):,} rows with {COLUMN} of {members:,} members and {examples:,} examples: one member of "
            f"{MOST_PAIRS} must have left each example out; give the members and examples that belong together"
        )
    row_MN = np.full((members, examples), -1, dtype=np.int64)
    row_MN[member_P, id_P] = np.arange(len(id_P))
    left_out_MN = row_MN >= 0
    return filled(row_MN, left_out_MN).reshape(-1), left_out_MN


def by_who_left_out(
    values_MN: NDArray[Any], left_out_MN: NDArray[np.bool_]
) -> list[tuple[NDArray[np.intp], NDArray[Any]]]:
    """Return the examples in groups that equally many members left out, with the values of those members alone."""
    count_N = left_out_MN.sum(axis=0)
    first_MN = np.argsort(~left_out_MN, axis=0, kind="stable")
    groups = []
    for count in np.unique(count_N).tolist():
        rows = np.flatnonzero(count_N == count)
        groups.append((rows, values_MN[first_MN[:count, rows], rows]))
    return groups
