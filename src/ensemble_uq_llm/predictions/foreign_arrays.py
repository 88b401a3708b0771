"""Predictions of other systems in an NPZ file: arrays of logits or probabilities, and what belongs to them."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.array_parts import parts_of_arrays
from ensemble_uq_llm.predictions.foreign.column_names import renamed
from ensemble_uq_llm.predictions.foreign_values import refuse_misspelt
from ensemble_uq_llm.predictions.record import Predictions

_NAMES = ("logits", "probs", "labels", "ids", "seeds", "samples", "true_probs")
_PLURALS = {"id": "ids", "label": "labels", "seed": "seeds", "sample": "samples"}


def read_arrays(
    path: Path, *, columns: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
) -> Predictions:
    """Read the arrays `logits` or `probs`, and optionally `labels`, `ids`, `seeds`, `samples` and `true_probs`.

    What they hold is what `Predictions.from_arrays` takes. Nothing in the file is unpickled.

    Args:
        path: the file.
        columns: what the file calls the arrays, by our names of columns, such as `{"label": "gold"}`.
        classes: the names of the classes, where labels are names.

    Raises:
        DataError: without the file's name, which `foreign_tables.load_predictions` adds.
    """
    arrays = _load(path, {_PLURALS.get(ours, ours): theirs for ours, theirs in (columns or {}).items()})
    scores = [name for name in ("logits", "probs") if name in arrays]
    if len(scores) != 1:
        found = "both `logits` and `probs`; keep one of them" if scores else "neither `logits` nor `probs`; save one"
        raise DataError(f"the file has {found} (beside optional {', '.join(_NAMES[2:])})")
    return Predictions(**parts_of_arrays(**arrays, classes=classes, source=path))


def _load(path: Path, columns: Mapping[str, str]) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise DataError("this is no whole NPZ file; write it with numpy.savez")
    arrays = {}
    name = "(table of contents)"
    try:
        with np.load(path, allow_pickle=False) as archive:
            ours = renamed(archive.files, columns)
            refuse_misspelt([each for each in ours if each is not None], _NAMES)
            theirs = {each: archive.files[at] for at, each in enumerate(ours) if each is not None}
            for name in (each for each in _NAMES if each in theirs):
                arrays[name] = np.asarray(archive[theirs[name]])
    except DataError:
        raise
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"array {name!r} cannot be read ({error}); store plain numbers, and ids and names as text"
        ) from error
    return arrays
