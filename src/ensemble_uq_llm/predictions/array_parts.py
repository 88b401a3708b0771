"""Arrays of logits or probabilities, and what belongs to them, as the parts of a `Predictions` record.

These are the rules for NPZ files and for arrays in memory alike.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.foreign.option_counts import with_counts
from ensemble_uq_llm.predictions.foreign_values import LabelMeaning, in_range, log_probabilities
from ensemble_uq_llm.utils.text import clipped

_INT64_END = 2.0**63
_NO_LABEL = -1
_SHAPES = {
    "logits": "[members, examples, classes] or [examples, classes]",
    "probs": "[members, examples, classes], [examples, classes], or [examples] for P(class 1) of two",
}


class Parts(TypedDict):
    """What a `Predictions` record is made of."""

    ids: tuple[str, ...]
    labels: tuple[int | None, ...]
    members: tuple[MemberId, ...]
    logits_MNC: NDArray[np.float64]
    true_probs_NC: NDArray[np.float64] | None
    class_names: tuple[str, ...]


def parts_of_arrays(
    *,
    logits: ArrayLike | None = None,
    probs: ArrayLike | None = None,
    labels: Sequence[int | None] | ArrayLike | None = None,
    ids: Sequence[str] | ArrayLike | None = None,
    seeds: Sequence[int] | ArrayLike | None = None,
    members: Sequence[MemberId] | None = None,
    samples: Sequence[int] | ArrayLike | None = None,
    true_probs: ArrayLike | None = None,
    options: Sequence[int] | ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    source: Path | None = None,
) -> Parts:
    """Return the parts of the record that these arrays stand for; `Predictions.from_arrays` says what they hold.

    `source` is the file that they come from, for the warning of probabilities that are 0.

    Raises:
        DataError: not exactly one of logits and probs, or an array has a shape or values that it must not have.
    """
    either = {name: each for name, each in (("logits", logits), ("probs", probs)) if each is not None}
    if len(either) != 1:
        raise DataError(
            "there are both `logits` and `probs`; keep one of them"
            if either
            else "there are neither `logits` nor `probs`; give one"
        )
    [(name, given)] = either.items()
    scores = _numbers(name, given)
    logits_MNC = _logits(name, scores if options is None else _with_counts(name, scores, options), source)
    count = logits_MNC.shape[1]
    truth = None if true_probs is None else _of_shape("true_probs", true_probs, like=logits_MNC)
    return Parts(
        ids=tuple(str(n) for n in range(count)) if ids is None else _ids(_of_shape("ids", ids, like=logits_MNC)),
        labels=(None,) * count
        if labels is None
        else _labels(_of_shape("labels", labels, like=logits_MNC), logits_MNC.shape[2], classes),
        members=_members(seeds, samples, members, like=logits_MNC),
        logits_MNC=logits_MNC,
        true_probs_NC=None if truth is None else _numbers("true_probs", truth),
        class_names=tuple(classes or ()),
    )


def _array(name: str, given: Any) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors of another device or type
        raise DataError(f"array {name!r} cannot be read ({error}); give a NumPy array of numbers") from error


def _of_shape(name: str, given: Any, *, like: NDArray[Any]) -> NDArray[Any]:
    members, examples, classes = like.shape
    expected = {
        "labels": (examples,),
        "ids": (examples,),
        "seeds": (members,),
        "samples": (members,),
        "true_probs": (examples, classes),
    }
    array = _array(name, given)
    if array.shape != expected[name]:
        raise DataError(
            f"array {name!r} has shape {array.shape}; with {members} members, {examples} examples and "
            f"{classes} classes it must be {expected[name]}"
        )
    return array


def _logits(name: str, scores: NDArray[np.float64], source: Path | None) -> NDArray[np.float64]:
    """Return the logits [M, N, C] that the array of logits or probabilities stands for."""
    if scores.ndim not in ((2, 3) if name == "logits" else (1, 2, 3)):
        raise DataError(f"array {name!r} has shape {scores.shape}; it must be {_SHAPES[name]}")
    if name == "logits":
        logits = in_range(scores)
        return logits if logits.ndim == 3 else logits[None]
    rows = scores.shape[: max(1, scores.ndim - 1)]
    classes = scores.shape[-1] if scores.ndim > 1 else 1
    logits_PC = log_probabilities(
        scores.reshape(-1, classes) if scores.ndim > 1 else scores,
        source=source,
        place=_place_in("probs", rows),
        names=[f"class {c}" for c in range(classes)] if scores.ndim > 1 else ["class 1"],
    )
    return logits_PC.reshape(rows[0] if len(rows) == 2 else 1, rows[-1], logits_PC.shape[1])


def _with_counts(name: str, scores: NDArray[np.float64], given: Any) -> NDArray[np.float64]:
    if scores.ndim not in (2, 3):
        raise DataError(f"array {name!r} has shape {scores.shape}; where there are `options` it is {_SHAPES['logits']}")
    array = _array("options", given)
    if array.shape != scores.shape[-2:-1]:
        raise DataError(f"array 'options' has shape {array.shape}; it must be {scores.shape[-2:-1]}, one an example")
    counts_P = np.tile(np.array(_whole("options", array), np.int64), scores.shape[0] if scores.ndim == 3 else 1)
    return with_counts(
        scores.reshape(-1, scores.shape[-1]),
        counts_P,
        place=_place_in(name, scores.shape[:-1]),
        names=[f"{name[:-1]} of class {c}" for c in range(scores.shape[-1])],
    ).reshape(scores.shape)


def _place_in(name: str, shape: tuple[int, ...]) -> Callable[[int], str]:
    return lambda row: f"{name}[{', '.join(str(index) for index in np.unravel_index(row, shape))}]"


def _members(
    seeds: Any, samples: Any, members: Sequence[MemberId] | None, *, like: NDArray[Any]
) -> tuple[MemberId, ...]:
    if samples is not None:
        if seeds is None:
            raise DataError("there are `samples` without `seeds`; give the seed of every member, too")
        pairs = (
            _whole(name, _of_shape(name, each, like=like)) for name, each in (("seeds", seeds), ("samples", samples))
        )
        return tuple(MemberId(seed, sample) for seed, sample in zip(*pairs, strict=True))
    if seeds is not None and members is not None:
        raise DataError("there are both `seeds` and `members`; keep one of them")
    if members is None:
        return trained(range(len(like)) if seeds is None else _whole("seeds", _of_shape("seeds", seeds, like=like)))
    if not isinstance(members, Sequence):
        raise DataError(f"members: {clipped(members)}; give a list of MemberId, one for each member of the logits")
    if wrong := [each for each in members if not isinstance(each, MemberId)]:
        raise DataError(f"members: {clipped(wrong[0])} is no MemberId; give whole numbers as `seeds`")
    if len(members) != len(like):
        raise DataError(f"members: there are {len(members)}, and logits of {len(like)}; give one of each")
    return tuple(members)


def _numbers(name: str, given: Any) -> NDArray[np.float64]:
    array = _array(name, given)
    if array.dtype.kind not in "fiub":
        raise DataError(f"array {name!r} holds {array.dtype}; it must hold real numbers")
    return array.astype(np.float64)


def _whole(name: str, array: NDArray[Any]) -> list[int]:
    numbers = _numbers(name, array)
    odd = np.flatnonzero(~((numbers == np.round(numbers)) & (np.abs(numbers) < _INT64_END)))
    if odd.size:
        raise DataError(f"{name}[{odd[0]}] is {numbers[odd[0]]}; {name} must be whole numbers")
    whole: list[int] = array.astype(np.int64).tolist()
    return whole


def _labels(array: NDArray[Any], count: int, classes: Sequence[str] | None) -> tuple[int | None, ...]:
    if classes is not None:
        meaning = LabelMeaning(count, classes)
        return tuple(_class_of(value, meaning, row) for row, value in enumerate(array.tolist()))
    if array.dtype.kind == "O":  # a list with None in it
        array = _array("labels", [np.nan if label is None else label for label in array])
    if array.size and array.dtype.kind in "UT":
        raise DataError(
            f"array 'labels' holds text, such as {clipped(str(array.flat[0]))}; give class numbers, or the names of "
            "the classes in order (--classes or classes=)"
        )
    numbers = _numbers("labels", array)
    labels = _whole("labels", np.where(np.isnan(numbers), -1, numbers))
    return tuple(None if label == -1 else label for label in labels)


def _class_of(value: Any, meaning: LabelMeaning, row: int) -> int | None:
    try:
        is_none = isinstance(value, int | float) and not isinstance(value, bool) and value == _NO_LABEL
        return None if is_none else meaning.class_of(value)
    except ValueError as error:
        raise DataError(f"labels[{row}]: {meaning.refusal(value, error)}") from error


def _ids(array: NDArray[Any]) -> tuple[str, ...]:
    if array.dtype.kind == "S":
        return tuple(each.decode("utf-8", errors="backslashreplace") for each in array.tolist())
    names = array.tolist()
    if array.dtype.kind not in "UiuTO" or not all(isinstance(each, str | int) for each in names):
        raise DataError(f"array 'ids' holds {array.dtype}; it must hold text or whole numbers")
    return tuple(str(each) for each in names)
