"""Values and names as other systems write them: checked, and turned into ours."""

import re
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.class_names import ClassNames
from ensemble_uq_llm.labels.label_values import key_of
from ensemble_uq_llm.labels.lacking_options import LACKING, with_lacking
from ensemble_uq_llm.labels.option_letters import FEWEST_OPTIONS
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, listed

Place: TypeAlias = Callable[[int], str]
"""Says where a row of probabilities stands, for messages: `line 7`."""

_OF_CLASSES = ("logit_", "prob_", "p_", "true_")
_MOST_SUSPECTS = 1000
_LONGEST_SUSPECT = 40
"""So many names are compared, and so much of each: comparing takes the product of the lengths."""

SUM_TOLERANCE = 2**-8  # of probabilities rounded to bfloat16
"""How far from 1 a row of probabilities may sum."""

_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?(e[-+]?[0-9]+)?")
_SMALLEST = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)


def log_probabilities(
    probs: NDArray[np.float64], *, source: Path | None, place: Place, names: Sequence[str]
) -> NDArray[np.float64]:
    """Return the logarithms of probabilities, as logits [P, C].

    Rows are divided by their sum. A probability of exactly 0, which no logit stands for, becomes the smallest
    normal float32, or the smallest probability that there is if that is smaller; one warning says how many there are.
    NaN stands for an option that the row does not have (`foreign.option_counts`).

    Args:
        probs: of every class [P, C], or of class 1 of two [P].
        source: the file, for the warning; None for values in memory.
        place: where a row stands.
        names: the columns' names.

    Raises:
        DataError: a value is no number from 0 to 1, or a row does not sum to 1. Says where, and in how many rows.
    """
    given_PC, lacks_PC = _without_lacking(probs) if probs.ndim == 2 else (probs[:, None], None)
    _check_range(given_PC, place, names)
    probs_PC = given_PC if probs.ndim == 2 else np.stack([np.maximum(1.0 - probs, 0.0), probs], axis=1)
    sums_P = probs_PC.sum(axis=1)
    _check_sums(sums_P, place, names)
    probs_PC = probs_PC / sums_P[:, None]
    is_zero_PC = probs_PC == 0 if lacks_PC is None else (probs_PC == 0) & ~lacks_PC
    if zeros := int(is_zero_PC.sum()):
        where = f"{source}: " if source else ""
        smallest = min(_SMALLEST, float(probs_PC[probs_PC > 0].min()))
        warnings.warn(
            f"{where}{zeros:,} of {probs_PC.size:,} probabilities are exactly 0 and count as {smallest:.2g}; "
            "the NLL depends on that number (give logits, or probabilities that are not rounded to 0)",
            stacklevel=2,
        )
        probs_PC[is_zero_PC] = smallest
    if lacks_PC is None:
        log_probs_PC: NDArray[np.float64] = np.log(probs_PC)
        return log_probs_PC
    return np.where(lacks_PC, LACKING, np.log(np.where(lacks_PC, 1.0, probs_PC)))


def _without_lacking(probs_PC: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """Return the probabilities with 0 for the options that a row does not have, and which these are; None: none."""
    is_none_PC = np.isnan(probs_PC)
    lacks_PC = is_none_PC & ((~is_none_PC).sum(axis=1, keepdims=True) >= FEWEST_OPTIONS)
    return (np.where(lacks_PC, 0.0, probs_PC), lacks_PC) if lacks_PC.any() else (probs_PC, None)


def in_range(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logits, infinite where 32 bits could not hold them: `Predictions` refuses that and says where it is.

    Where there is none, its option is one that the row does not have (`foreign.option_counts`).
    """
    return with_lacking(np.where(np.abs(logits) > _LARGEST, np.copysign(np.inf, logits), logits))


def class_of(value: Any, *, classes: int) -> int | None:
    """Return the class number that a label stands for, or None where it is empty or NaN.

    Text is read as CSV files have it: numbers (also `1.0`, which table programs write beside empty cells), and for
    two classes true and false. `01` is no number: it may be the name of something else. Raises ValueError for anything
    else.
    """
    text = "" if value is None else str(value).strip().lower()
    if text in ("", "nan"):
        return None
    if text in ("true", "false") and classes == 2:
        return int(text == "true")
    if _NUMBER.fullmatch(text) and (number := float(text)) in range(classes):
        return int(number)
    raise ValueError(text)


class LabelMeaning:
    """Which of so many classes a label stands for: by number, or by the names of the classes where these are known."""

    def __init__(self, count: int, names: Sequence[str] | None) -> None:
        if names is not None and len(names) != count:
            raise DataError(f"there are {count} classes, and {len(names)} names of them, {listed(names)}; give {count}")
        if names is not None and len({key_of(name) for name in names}) < count:
            raise DataError(f"the names of the classes, {listed(names)}, do not all differ; give each its own")
        self._count = count
        self._names = None if names is None else ClassNames(names)

    def class_of(self, value: Any) -> int | None:
        """Return the class number, or None where there is no label; raises ValueError for what is no class."""
        if self._names is None:
            return class_of(value, classes=self._count)
        text = value.strip() if isinstance(value, str) else value
        empty = text in (None, "") or (isinstance(text, float) and text != text)
        return None if empty else self._names.index_of(text)

    def refusal(self, value: Any, error: ValueError) -> str:
        """Return what a message says of a label that is no class."""
        if self._names is not None:
            why = f" ({error})" if str(error) else ""
            return f"label is {clipped(value)}{why}; it must be {self._names.in_words}, or empty where it is unknown"
        true_false = ", true or false" if self._count == 2 else ""
        return (
            f"label is {clipped(value)}; it must be a class number 0 to {self._count - 1}{true_false}, or empty where "
            "it is unknown (give the names of the classes, --classes or classes=, where labels are names)"
        )


def refuse_misspelt(names: Collection[str], known: Collection[str]) -> None:
    """Raise DataError for a name that is nearly one of `known` names that are missing.

    What is optional would otherwise be left out in silence: a file with `labels` would count as unlabelled.
    """
    missing = [name for name in known if name not in names]
    others = [name for name in names if name not in known and not name.startswith(_OF_CLASSES)]
    for name in others[:_MOST_SUSPECTS]:
        if hint := did_you_mean(name[:_LONGEST_SUSPECT], missing):
            raise DataError(f"{clipped(name)} is not a name that is read{hint} Rename it, or leave it out")


def _check_range(probs_PC: NDArray[np.float64], place: Place, names: Sequence[str]) -> None:
    # Comparisons with NaN are false, so what is not a number is outside too. A sum of rounded numbers may pass 1.
    outside_PC = ~((probs_PC >= 0) & (probs_PC <= 1 + SUM_TOLERANCE))
    if outside_PC.any():
        row, c = np.argwhere(outside_PC)[0]
        raise DataError(
            f"{place(row)}: {names[c]} is {probs_PC[row, c]}{_also(outside_PC.any(axis=1).sum())}; a probability is a "
            "number from 0 to 1 (name the columns or the array after logits if that is what they are)"
        )


def _check_sums(sums_P: NDArray[np.float64], place: Place, names: Sequence[str]) -> None:
    off_P = np.abs(sums_P - 1) > SUM_TOLERANCE
    if off_P.any():
        row = int(np.argmax(off_P))
        raise DataError(
            f"{place(row)}: {names[0]} to {names[-1]} sum to {sums_P[row]:.6g}{_also(off_P.sum())}; the "
            f"probabilities of a row must sum to 1 within {SUM_TOLERANCE} (round them less, or give logits)"
        )


def _also(rows: int) -> str:
    others = rows - 1
    return f" ({others:,} more {'rows have' if others > 1 else 'row has'} such a fault)" if others else ""
