"""What other systems call the columns of their predictions, brought to our names."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.predictions.foreign.table_file import TableFile
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, listed

LISTS: Final = {"logits": "logit_", "probs": "prob_", "true_probs": "true_"}
"""Columns that hold a list of one number a class, and how the columns of single classes begin."""

_OF_ROWS: Final = ("id", "label", "seed", "sample")
ANSWER_MASS: Final = "answer_mass"
OURS: Final = (*_OF_ROWS, "prob", "p_yes", *LISTS, ANSWER_MASS)
_OF_CLASS = re.compile(r"(logit_|prob_|p_|true_)(0|[1-9]\d*)")
_KINDS: Final = ("logit_", "prob_", "p_")


def parse_columns(options: Sequence[str]) -> dict[str, str]:
    """Return the mapping that options such as `id=qid,label=gold` say: of our names to those in a file.

    Raises:
        ConfigError: one is no such pair, or the name is none of ours.
    """
    columns: dict[str, str] = {}
    for pair in (each for option in options for each in option.split(",")):
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and equals and theirs):
            raise ConfigError(f"--columns {pair}: give pairs of our name and the file's, such as id=qid,label=gold")
        columns[ours] = theirs
    check_columns(columns)
    return columns


def check_columns(columns: Mapping[str, str]) -> None:
    """Raise ConfigError where a mapping has a name that is none of ours, or one of theirs twice."""
    for ours in columns:
        if ours not in OURS and not _OF_CLASS.fullmatch(ours):
            known = f"{', '.join(OURS)}, and logit_0, prob_0, true_0 and so on"
            raise ConfigError(
                f"columns: {ours!r} is no column of predictions{did_you_mean(ours, OURS) or f'; {known}'}"
            )
    theirs = list(columns.values())
    if twice := [name for name in theirs if theirs.count(name) > 1]:
        raise ConfigError(f"columns: {twice[0]!r} is given for two columns; give it for one")


def renamed(names: Sequence[str], columns: Mapping[str, str]) -> list[str | None]:
    """Return our names of a file's columns, None for one whose name another column gets.

    Where the file has no column of a given name, but has ours, or ours of other scores, these are it: one mapping
    serves several files.

    Raises:
        DataError: the file has neither.
    """
    for ours, theirs in columns.items():
        instead = {ours} if ours in (*_OF_ROWS, ANSWER_MASS) else {name for name in names if _is_score(name)}
        if theirs not in names and not instead & set(names):
            hint = did_you_mean(theirs, names) or f"; the file has {listed(names)}"
            raise DataError(f"column {clipped(theirs)}, given as {ours}, is missing{hint}")
    ours_of = {theirs: ours for ours, theirs in columns.items() if theirs in names}
    taken = set(ours_of.values())
    return [ours_of.get(name, None if name in taken else name) for name in names]


def with_our_names(file: TableFile, columns: Mapping[str, str]) -> TableFile:
    """Return the table under our names; raises DataError as `renamed` does."""
    names = renamed(file.table.column_names, columns)
    kept = [at for at, name in enumerate(names) if name is not None]
    table = file.table.select(kept).rename_columns([name for name in names if name is not None])
    return replace(file, table=table)


def with_lists_spread(file: TableFile) -> TableFile:
    """Return the table with lists of numbers spread over a column a class, and lists of such over a row a member.

    Raises:
        DataError: the lists of a column differ in length, or hold something else than numbers.
    """
    for name, prefix in LISTS.items():
        if name in file.table.column_names and _is_list(file.table.column(name).type):
            file = _spread(file, name, prefix)
    return file


def with_class_numbers(file: TableFile, classes: Sequence[str] | None) -> tuple[TableFile, Sequence[str] | None]:
    """Return the table with columns such as `prob_cat` numbered, and the names of the classes in that order.

    Where no column of a class bears a number, two or more named ones of a kind are the classes: in the order of
    `classes` where that is given, else in that of the header, if it is of probabilities. Else nothing changes.

    Raises:
        DataError: the columns are not those of the classes.
    """
    names, present = file.table.column_names, set(file.table.column_names)
    if any(_OF_CLASS.fullmatch(name) and not name.startswith("true_") for name in names):
        return file, classes
    for kind in _KINDS:
        found = [name.removeprefix(kind) for name in names if name.startswith(kind) and name != kind]
        wanted = found if classes is None else [each for each in classes if f"{kind}{each}" in present]
        if len(wanted) < 2 or (kind == "logit_" and classes is None):
            continue
        if classes is not None and (missing := [each for each in classes if f"{kind}{each}" not in present]):
            raise DataError(f"column {clipped(kind + missing[0])} is missing; every class needs its own")
        numbers = {f"{kind}{each}": f"{kind}{c}" for c, each in enumerate(wanted)}
        numbers |= {f"true_{each}": f"true_{c}" for c, each in enumerate(wanted)}
        table = file.table.rename_columns([numbers.get(name, name) for name in names])
        return replace(file, table=table), wanted
    return file, classes


def text_columns(columns: Mapping[str, str]) -> Collection[str]:
    """Return the names of the columns that are text whatever they look like: ids and labels."""
    return {"id", "label", *(columns[name] for name in ("id", "label") if name in columns)}


def _is_score(name: str) -> bool:
    return (name in OURS and name not in (*_OF_ROWS, ANSWER_MASS)) or _OF_CLASS.fullmatch(name) is not None


def _is_list(kind: Any) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _spread(file: TableFile, name: str, prefix: str) -> TableFile:
    values = file.table.column(name).to_pylist()
    try:
        array = np.array(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        expected = _shape_of(values[0])
        row = next((row for row, each in enumerate(values) if _shape_of(each) != expected), 0)
        raise DataError(
            f"{file.place(row)}: {name} is not a list of as many numbers as in the first row; give every row one "
            "number a class, or one such list a member"
        ) from error
    if array.ndim not in (2, 3):
        raise DataError(f"{name} holds lists of {array.ndim - 1} levels; give a number a class, or one list a member")
    table, place = file.table, file.place
    if array.ndim == 3:
        rows, members = array.shape[:2]
        table = table.take(np.repeat(np.arange(rows), members))
        if "id" not in table.column_names:
            table = table.append_column("id", pa.array([str(row) for row in range(rows) for _ in range(members)]))
        if "seed" not in table.column_names:
            table = table.append_column("seed", pa.array(np.tile(np.arange(members), rows)))
        array = array.reshape(rows * members, -1)
        file = replace(file, place=lambda row: place(row // members))
    others = table.drop_columns([name])
    names = [*others.column_names, *(f"{prefix}{c}" for c in range(array.shape[1]))]
    return replace(file, table=pa.table([*others.columns, *map(pa.array, array.T)], names=names))


def _shape_of(value: Any) -> list[int] | int | None:
    """Return the length of a list, of one of lists each length; None of anything else."""
    if not isinstance(value, list):
        return None
    nested = any(isinstance(each, list) for each in value)
    return [len(each) if isinstance(each, list) else -1 for each in value] if nested else len(value)
