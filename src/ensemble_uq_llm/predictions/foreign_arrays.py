"""Predictions of other systems in an NPZ file: arrays of logits or probabilities, and what belongs to them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.array_parts import parts_of_arrays
from ensemble_uq_llm.predictions.foreign.column_names import renamed
from ensemble_uq_llm.predictions.foreign.npz_arrays import NpzArchive
from ensemble_uq_llm.predictions.foreign.option_counts import warn_of_lacking
from ensemble_uq_llm.predictions.foreign_values import refuse_misspelt
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.utils.input.input_file import InputFile

_NAMES = ("logits", "probs", "labels", "ids", "seeds", "samples", "true_probs", "options")
_PLURALS = {"id": "ids", "label": "labels", "seed": "seeds", "sample": "samples"}


def read_arrays(
    file: InputFile, *, columns: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
) -> Predictions:
    """Read the arrays `logits` or `probs`, and optionally the others of `_NAMES`.

    What they hold is what `Predictions.from_arrays` takes. Nothing in the file is unpickled.

    Args:
        file: the open file.
        columns: what the file calls the arrays, by our names of columns, such as `{"label": "gold"}`.
        classes: the names of the classes, where labels are names.

    Raises:
        DataError: without the file's name, which `foreign_tables.load_predictions` adds.
    """
    arrays = _load(file, {_PLURALS.get(ours, ours): theirs for ours, theirs in (columns or {}).items()})
    scores = [name for name in ("logits", "probs") if name in arrays]
    if len(scores) != 1:
        found = "both `logits` and `probs`; keep one of them" if scores else "neither `logits` nor `probs`; save one"
        raise DataError(f"the file has {found} (beside optional {', '.join(_NAMES[2:])})")
    predictions = Predictions(**parts_of_arrays(**arrays, classes=classes, source=file.path))
    if "options" not in arrays:
        warn_of_lacking(predictions.lacks_NC, file.path)
    return predictions


def _load(file: InputFile, columns: Mapping[str, str]) -> dict[str, Any]:
    archive = NpzArchive(file)
    ours = renamed(archive.names, columns)
    refuse_misspelt([each for each in ours if each is not None], _NAMES)
    theirs = {each: archive.names[at] for at, each in enumerate(ours) if each is not None}
    return {name: archive.read(theirs[name]) for name in _NAMES if name in theirs}
