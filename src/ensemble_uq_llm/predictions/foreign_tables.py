"""Predictions that any system made, read into our record: tables or arrays, logits or probabilities."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign.cells import numbers, whole_numbers
from ensemble_uq_llm.predictions.foreign.column_names import (
    ANSWER_MASS,
    check_columns,
    text_columns,
    with_class_numbers,
    with_lists_spread,
    with_our_names,
)
from ensemble_uq_llm.predictions.foreign.delimited_table import read_delimited_table
from ensemble_uq_llm.predictions.foreign.json_table import read_json_table
from ensemble_uq_llm.predictions.foreign.option_counts import OPTIONS, has_counts, warn_of_lacking, with_counts
from ensemble_uq_llm.predictions.foreign.table_file import TableFile, check_width
from ensemble_uq_llm.predictions.foreign_arrays import read_arrays
from ensemble_uq_llm.predictions.foreign_values import LabelMeaning, in_range, log_probabilities, refuse_misspelt
from ensemble_uq_llm.predictions.parquet import from_table, table_of
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.utils.files import AnyPath, as_path
from ensemble_uq_llm.utils.input.input_file import InputFile, opened
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, listed

_OF_ROWS = ("id", "label", "seed", "sample")
_CONTRACT = {"id", "label", "seed", "logit_0"}
_OF_CLASS = re.compile(r"(logit_|prob_|p_)(\d+)")
"""Also `logit_02` and other digits than ours: such a column counts, so that one is found to be missing."""

_OF_CLASS_1 = ("prob", "p_yes")
_TRUTH = re.compile(r"true_(0|[1-9]\d*)")
_NEEDED = "logit_0, logit_1, ... or prob_0, prob_1, ... (for two classes also prob, p_yes or prob_1 alone)"


def load_predictions(
    path: AnyPath, *, columns: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
) -> Predictions:
    """Read predictions of any origin; the file's ending says how.

    Parquet, CSV, TSV and JSON lines have one row per example and member, as our own files do, with these liberties: no
    `seed` means one member, then `id` may be missing too (rows are counted from 0); no `label` means unlabelled; labels
    are class numbers or, for two classes, true and false, or names of classes; instead of `logit_c` there may be
    probabilities `prob_c` or `p_c`, or for two classes P(class 1) alone as `prob`, `p_yes`, `prob_1` or `p_1`; c is a
    number or the name of a class. A column `logits` or `probs` may hold a list of one number a class, or a list of such
    lists, one a member. True probabilities `true_c` and `answer_mass` are kept, other columns are ignored. Options
    of multiple choice that a row does not have: `foreign.option_counts`. NPZ: see `foreign_arrays.read_arrays`.

    Probabilities are stored as logits, their logarithms; see `foreign_values.log_probabilities`.

    Args:
        path: the file.
        columns: what the file calls our columns, such as `{"id": "qid", "label": "gold"}`.
        classes: the names of the classes in the order of their numbers, where labels or columns are named by them; by
            default columns of probabilities named by classes say them. What a label means: `labels.class_names`.

    Raises:
        DataError: the file is missing, of another kind, or torn; there are neither logits nor probabilities, or
            both; a value is not what it must be; or anything that `Predictions` refuses. The message names the
            file, the line or row (from 0), the value and what to do.
        ConfigError: `columns` has a name that is no column of predictions.
    """
    path = as_path(path, "predictions")
    check_columns(columns or {})
    kind = path.suffix.lower()
    with _naming(path), opened(path, absent="predict the set first, or correct the path") as file:
        if kind == ".npz":
            return read_arrays(file, columns=columns or {}, classes=classes)
        if kind in _TABLES:
            return _read(_TABLES[kind](file, text=text_columns(columns or {})), columns or {}, classes)
        known = ", ".join([*_TABLES, ".npz"])
        raise DataError(f"predictions are read from {known} files; convert it, or correct the name")


def table_file(path: Path, *, columns: Mapping[str, str]) -> TableFile:
    """Return a table as it stands in a file, whatever its columns are.

    Args:
        path: the file.
        columns: what it calls our columns, so that ids are read as text.

    Raises:
        DataError: the file is missing, torn, or no table.
    """
    kind = path.suffix.lower()
    with _naming(path), opened(path, absent="correct the path") as file:
        if kind not in _TABLES:
            raise DataError(f"columns are read from {', '.join(_TABLES)} files; convert it, or correct the name")
        return _TABLES[kind](file, text=text_columns(columns))


def _read_parquet(file: InputFile, *, text: Collection[str]) -> TableFile:
    table = table_of(file)
    check_width(table.column_names)
    return TableFile(path=file.path, table=table, place=lambda row: f"row {row}")


_TABLES: dict[str, Callable[..., TableFile]] = {
    ".parquet": _read_parquet,
    ".csv": read_delimited_table,
    ".tsv": read_delimited_table,
    ".jsonl": read_json_table,
}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        named = str(error).startswith(f"{path}:")
        raise error if named else DataError(f"{path}: {error}") from error


def _read(file: TableFile, columns: Mapping[str, str], classes: Sequence[str] | None) -> Predictions:
    """Rewrite the table as one of our own, whose checks then apply."""
    names = file.table.column_names
    if not columns and set(names) >= _CONTRACT and _has_class_numbers(file.table.column("label").type):
        return _noting_lacking(replace(from_table(file.table), class_names=tuple(classes or ())), file)
    if file.table.num_rows == 0:
        raise DataError("the file has no rows; it needs one for each example and member")
    if double := [name for name, times in Counter(names).items() if times > 1]:
        raise DataError(f"column {clipped(double[0])} is there twice; keep one of them")
    file = with_lists_spread(with_our_names(file, columns))
    file, classes = with_class_numbers(file, classes)
    names = file.table.column_names
    logits_PC = _logits(file, _score_columns(names))
    refuse_misspelt(names, _OF_ROWS)
    ours = from_table(pa.table(_our_columns(file, logits_PC, classes)))
    return _noting_lacking(replace(ours, class_names=tuple(classes or ())), file)


def _noting_lacking(predictions: Predictions, file: TableFile) -> Predictions:
    if not has_counts(file.table):
        warn_of_lacking(predictions.lacks_NC, file.path)
    return predictions


def _has_class_numbers(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def _our_columns(file: TableFile, logits_PC: NDArray[np.float64], classes: Sequence[str] | None) -> dict[str, Any]:
    names, rows = file.table.column_names, file.table.num_rows
    if "seed" in names and "id" not in names:
        raise DataError("column 'id' is missing; where there are seeds, every row needs its example's id")
    for name in (each for each in _OF_ROWS if each in names):
        _check_flat(file, name)
        if name != "label":
            _check_filled(file, name)
    if "id" in names and "seed" not in names:
        _check_ids_differ(file)
    columns = {
        "id": file.table.column("id") if "id" in names else [str(row) for row in range(rows)],
        "label": _labels(file, logits_PC.shape[1], classes) if "label" in names else pa.nulls(rows, pa.int64()),
        "seed": whole_numbers(file, "seed") if "seed" in names else np.zeros(rows, np.int64),
    }
    columns |= {f"logit_{c}": logits_P for c, logits_P in enumerate(logits_PC.T)}
    if "sample" in names:
        columns["sample"] = whole_numbers(file, "sample")
    if ANSWER_MASS in names:
        columns[ANSWER_MASS] = numbers(file, ANSWER_MASS)
    return columns | {name: numbers(file, name) for name in names if _TRUTH.fullmatch(name)}


def _score_columns(names: Sequence[str]) -> list[str]:
    """Return the columns of the classes in their order, or the only one, of class 1."""
    found: dict[str, set[str]] = {name: {"1"} for name in _OF_CLASS_1 if name in names}
    for match in filter(None, map(_OF_CLASS.fullmatch, names)):
        found.setdefault(match[1], set()).add(match[2])
    if no_lists := [name for name in ("logits", "probs") if not found and name in names]:
        raise DataError(f"column {no_lists[0]!r} does not hold lists of numbers; give every row one number a class")
    if not found:
        near = (did_you_mean(name[:40], ("logit_0", "prob_0", "prob", "p_yes")) for name in names[:1000])
        hint = next(filter(None, near), "")
        raise DataError(f"there are no logits and no probabilities; needed are {_NEEDED}, found {listed(names)}{hint}")
    if len(found) > 1:
        shown = (kind if kind in _OF_CLASS_1 else f"{kind}{min(found[kind])}" for kind in found)
        both = " and ".join(map(clipped, shown))
        raise DataError(f"columns {both} say the same thing twice; keep {_NEEDED}, not both kinds")
    [(kind, classes)] = found.items()
    if kind in _OF_CLASS_1:
        return [kind]
    if kind != "logit_" and classes == {"1"}:
        return [f"{kind}1"]
    needed = list(map(str, range(max(2, len(classes)))))
    if missing := next((c for c in needed if c not in classes), None):
        raise DataError(f"column '{kind}{missing}' is missing; every class needs its own, counted from 0")
    return [f"{kind}{c}" for c in needed]


def _logits(file: TableFile, columns: Sequence[str]) -> NDArray[np.float64]:
    values_PC = np.stack([numbers(file, name) for name in columns], axis=1)
    if has_counts(file.table) and len(columns) > 1:
        _check_filled(file, OPTIONS, needed="give every row the number of its options")
        values_PC = with_counts(values_PC, whole_numbers(file, OPTIONS), place=file.place, names=columns)
    if columns[0].startswith("logit_"):
        return in_range(values_PC)
    probs = values_PC[:, 0] if len(columns) == 1 else values_PC
    return log_probabilities(probs, source=file.path, place=file.place, names=columns)


def _check_flat(file: TableFile, name: str) -> None:
    column = file.table.column(name)
    if pa.types.is_nested(column.type) and len(column):
        shown = clipped(column[0].as_py())
        raise DataError(f"{file.place(0)}: {name} is {shown}; it must be text or a number")


def _check_filled(
    file: TableFile, name: str, *, needed: str = "give every row its example's id and its member's seed"
) -> None:
    if file.table.column(name).null_count:
        row = int(np.argmax(file.table.column(name).is_null().to_numpy()))
        raise DataError(f"{file.place(row)}: {name} is empty; {needed}")


def _check_ids_differ(file: TableFile) -> None:
    counts = file.table.column("id").value_counts()
    if len(counts) < file.table.num_rows:
        double = next(each["values"].as_py() for each in counts if each["counts"].as_py() > 1)
        raise DataError(
            f"id {clipped(double)} is in more than one row, and no column 'seed' tells members apart; give every row "
            "its member's seed (any whole number), or every example an id of its own"
        )


def _labels(file: TableFile, count: int, classes: Sequence[str] | None) -> Any:
    """Return the labels as class numbers; each distinct value is read once."""
    column = file.table.column("label")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    meaning = LabelMeaning(count, classes)
    known = []
    for value in encoded.dictionary.to_pylist():
        try:
            known.append(meaning.class_of(value))
        except ValueError as error:
            row = pc.index(column, value).as_py()
            raise DataError(f"{file.place(row)}: {meaning.refusal(value, error)}") from error
    return pa.array(known, pa.int64()).take(encoded.indices)
