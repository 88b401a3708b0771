"""Which options of multiple choice a row of predictions has, one rule for every format.

1. A class without a number is an option that the row does not have: null, an empty cell, NaN, minus infinity, or a
   logit below -1e30, as masks write it. It must be so for every member, two numbers at least must be left, and one of
   them is the label's.
2. A column `options` with a whole number says how many a row has: the first so many. The others say nothing: rule 1,
   or a probability of 0. The first ones must have numbers.
3. Without that column a probability of 0 is a probability: it counts as the smallest one that there is.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.lacking_options import lacks
from ensemble_uq_llm.labels.option_letters import FEWEST_OPTIONS
from ensemble_uq_llm.utils.text import clipped

OPTIONS: Final = "options"
"""The name of the column."""

_COUNT = re.compile(r"\s*[0-9]{1,5}(\.0*)?\s*")


def has_counts(table: Any) -> bool:
    """Return whether a table has the column, and of numbers: the texts of the options are another thing."""
    if OPTIONS not in table.column_names:
        return False
    column = table.column(OPTIONS)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return True
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return is_text and all(_COUNT.fullmatch(text) for text in column.drop_null().slice(0, 1).to_pylist())


def with_counts(
    scores_PC: NDArray[Any], options_P: NDArray[np.int64], *, place: Callable[[int], str], names: Sequence[str]
) -> NDArray[Any]:
    """Return logits or probabilities with NaN for every option that its row does not have.

    Args:
        scores_PC: the numbers as they are given, NaN where there is none.
        options_P: how many options every row has.
        place: says where a row stands.
        names: of the columns; those of probabilities begin with `p`.

    Raises:
        DataError: a number of options that cannot be, an option without a number, or a number without an option.
    """
    classes = scores_PC.shape[1]
    wrong_P = (options_P < FEWEST_OPTIONS) | (options_P > classes)
    if wrong_P.any():
        row = int(np.argmax(wrong_P))
        raise DataError(
            f"{place(row)}: {OPTIONS} is {options_P[row]}; with {classes} classes it is {FEWEST_OPTIONS} to {classes}"
        )
    beyond_PC = np.arange(classes) >= options_P[:, None]
    is_none_PC = np.isnan(scores_PC) | lacks(scores_PC)
    says_nothing_PC = is_none_PC | ((scores_PC == 0) & names[0].startswith("p"))
    bad_PC = np.where(beyond_PC, ~says_nothing_PC, is_none_PC)
    if bad_PC.any():
        row, c = np.argwhere(bad_PC)[0]
        held = "empty" if is_none_PC[row, c] else clipped(float(scores_PC[row, c]))
        what = "that option is not there, so leave it empty" if beyond_PC[row, c] else "give every option a number"
        raise DataError(f"{place(row)}: {OPTIONS} is {options_P[row]} and {names[c]} is {held}; {what}")
    return np.where(beyond_PC, scores_PC.dtype.type(np.nan), scores_PC)


def warn_of_lacking(lacks_NC: NDArray[np.bool_] | None, path: Path) -> None:
    """Warn where only missing numbers say that options are not there: they might have been lost."""
    if lacks_NC is not None:
        rows = int(lacks_NC.any(axis=1).sum())
        warnings.warn(
            f"{path}: {rows:,} of {len(lacks_NC):,} examples have classes without a number, and are read as questions "
            f"that do not have these options; say how many each has in a column {OPTIONS!r} if that is meant",
            stacklevel=3,
        )
