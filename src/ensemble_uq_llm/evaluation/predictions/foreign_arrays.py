"""Predictions of other systems as arrays: logits or probabilities and what belongs to them, in memory or in an NPZ."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.predictions.foreign_values import log_probabilities, refuse_misspelt
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.member import trained

_NAMES = ("logits", "probs", "labels", "ids", "seeds", "true_probs")
_SHAPES = {
    "logits": "[members, examples, classes] or [examples, classes]",
    "probs": "[members, examples, classes], [examples, classes], or [examples] for P(class 1) of two",
}


def read_arrays(path: Path) -> Predictions:
    """Read the arrays `logits` or `probs`, and optionally `labels`, `ids`, `seeds` and `true_probs`.

    `logits` is [M, N, C], or [N, C] of one member; `probs` likewise, or [N] for P(class 1) of two. `labels` [N]
    are class numbers, -1 (or NaN) where unknown; `ids` [N] and `seeds` [M] count from 0 by default;
    `true_probs` is [N, C]. Nothing in the file is unpickled.

    Raises:
        DataError: without the file's name, which `foreign.load_predictions` adds.
    """
    return predictions_of(_load(path), source=path)


def predictions_of(arrays: Mapping[str, NDArray[Any]], *, source: Path | None = None) -> Predictions:
    """Return the predictions that arrays of these names hold; see `read_arrays`.

    Args:
        arrays: by the names that a file has.
        source: the file that they are from, for warnings; None for arrays in memory.

    Raises:
        DataError: an array has not the shape or the values that it must have.
    """
    scores = [name for name in ("logits", "probs") if name in arrays]
    if len(scores) != 1:
        where = "the file has" if source else "there are"
        found = "both `logits` and `probs`; keep one of them" if scores else "neither `logits` nor `probs`; save one"
        raise DataError(f"{where} {found} (beside optional {', '.join(_NAMES[2:])})")
    logits_MNC = _logits(source, scores[0], _numbers(scores[0], arrays[scores[0]]))
    members, examples, classes = logits_MNC.shape
    expected = {"labels": (examples,), "ids": (examples,), "seeds": (members,), "true_probs": (examples, classes)}
    for name, shape in expected.items():
        if name in arrays and arrays[name].shape != shape:
            raise DataError(
                f"array {name!r} has shape {arrays[name].shape}; with {members} members, {examples} examples and "
                f"{classes} classes it must be {shape}"
            )
    truth = arrays.get("true_probs")
    seeds = _whole("seeds", arrays["seeds"]).tolist() if "seeds" in arrays else range(members)
    return Predictions(
        ids=_ids(arrays["ids"]) if "ids" in arrays else tuple(str(n) for n in range(examples)),
        labels=_labels(arrays["labels"]) if "labels" in arrays else (None,) * examples,
        members=trained(seeds),
        logits_MNC=logits_MNC,
        true_probs_NC=None if truth is None else _numbers("true_probs", truth),
    )


def _load(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise DataError("this is no whole NPZ file; write it with numpy.savez")
    arrays = {}
    name = "(table of contents)"
    try:
        with np.load(path, allow_pickle=False) as archive:
            refuse_misspelt(archive.files, _NAMES)
            for name in (each for each in _NAMES if each in archive.files):
                arrays[name] = np.asarray(archive[name])
    except DataError:
        raise
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"array {name!r} cannot be read ({error}); store plain numbers, and ids as text or whole numbers"
        ) from error
    return arrays


def _logits(source: Path | None, name: str, scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the logits [M, N, C] that the array of logits or probabilities stands for."""
    if scores.ndim not in ((2, 3) if name == "logits" else (1, 2, 3)):
        raise DataError(f"array {name!r} has shape {scores.shape}; it must be {_SHAPES[name]}")
    if name == "logits":
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which `Predictions` refuses with its place
            logits = scores.astype(np.float32)
        return logits if logits.ndim == 3 else logits[None]
    rows = scores.shape[: max(1, scores.ndim - 1)]
    classes = scores.shape[-1] if scores.ndim > 1 else 1
    logits_PC = log_probabilities(
        scores.reshape(-1, classes) if scores.ndim > 1 else scores,
        source=source,
        place=lambda row: f"probs[{', '.join(str(i) for i in np.unravel_index(row, rows))}]",
        names=[f"class {c}" for c in range(classes)] if scores.ndim > 1 else ["class 1"],
    )
    return logits_PC.reshape(rows[0] if len(rows) == 2 else 1, rows[-1], logits_PC.shape[1])


def _numbers(name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiub":
        raise DataError(f"array {name!r} holds {array.dtype}; it must hold real numbers")
    return array.astype(np.float64)


def _whole(name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    numbers = _numbers(name, array)
    odd = np.flatnonzero(~(numbers == np.round(numbers)))
    if odd.size:
        raise DataError(f"{name}[{odd[0]}] is {numbers[odd[0]]}; {name} must be whole numbers")
    return array.astype(np.int64)


def _labels(array: NDArray[Any]) -> tuple[int | None, ...]:
    numbers = _numbers("labels", array)
    labels_N = _whole("labels", np.where(np.isnan(numbers), -1, numbers))
    return tuple(None if label == -1 else label for label in labels_N.tolist())


def _ids(array: NDArray[Any]) -> tuple[str, ...]:
    if array.dtype.kind == "S":
        return tuple(each.decode("utf-8", errors="backslashreplace") for each in array.tolist())
    if array.dtype.kind == "O" and all(isinstance(each, str) for each in array.tolist()):  # as pandas holds text
        return tuple(array.tolist())
    if array.dtype.kind not in "Uiu":
        raise DataError(f"array 'ids' holds {array.dtype}; it must hold text or whole numbers")
    return tuple(str(each) for each in array.tolist())
