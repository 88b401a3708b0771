"""The tidy Parquet file of predictions.

One row per example and member: `id`, `label` (null where unknown), `seed`, `sample` (absent where all are 0),
`logit_0 ... logit_{C-1}`, where it is known `answer_mass`, and, where the true probabilities are known,
`true_0 ... true_{C-1}`. Of multiple choice with fewer options than classes the logits of the others are null, and
`options` is how many there are (`predictions.foreign.option_counts`). With a column `out_of_bag` there is no row for
members that were trained on the example (`predictions.left_out.left_out_cells`). Any program may write such a file.
Ours tell in the file's metadata what made them: `predictions.origin`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.lacking_options import with_lacking
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.foreign.option_counts import OPTIONS, has_counts, with_counts
from ensemble_uq_llm.predictions.left_out.left_out_cells import COLUMN as LEFT_OUT
from ensemble_uq_llm.predictions.left_out.left_out_cells import order_of_pairs
from ensemble_uq_llm.predictions.origin import Origin, origin_metadata, origin_of_metadata
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.storage.guard import read_of_run
from ensemble_uq_llm.utils.files import AnyPath, as_path, atomic_path
from ensemble_uq_llm.utils.input.bounded_parquet import UnreadableParquetError, read_parquet_table
from ensemble_uq_llm.utils.input.input_file import InputFile, opened
from ensemble_uq_llm.utils.text import clipped, listed

_NO_LABEL = np.iinfo(np.int64).min
_OF_CLASS = re.compile(r"logit_\d+")


def write_predictions(path: AnyPath, predictions: Predictions) -> None:
    """Write the tidy Parquet file, member after member, whole or not at all."""
    with atomic_path(as_path(path, "predictions")) as temporary:
        table = predictions.to_table().replace_schema_metadata(origin_metadata(predictions.origin))
        pq.write_table(table, temporary)


def read_predictions(path: AnyPath) -> Predictions:
    """Read a tidy Parquet file, its rows in any order; examples and members keep the order of first mention.

    Raises:
        DataError: the file is missing or no Parquet; a column is missing or of another kind; an example has
            a member twice or lacks one; members disagree on a label; or anything that `Predictions` refuses.
            The message names the file, the example, the seed, the column, and what to do.
    """
    table = read_table(as_path(path, "predictions"))
    try:
        return from_table(table)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_origin(path: AnyPath, *, verified: bool = True) -> Origin | None:
    """Return what made the predictions of a file; None where it does not tell, is none, or is not there.

    Raises:
        IntegrityError: it is a run's, and not as it was written; never, where it is not to be `verified`.
    """
    path = as_path(path, "predictions")
    if not path.is_file():
        return None
    source = _source(path) if verified else path
    try:
        return origin_of_metadata(pq.read_schema(source).metadata)
    except (pa.ArrowException, OSError, DataError):
        return None


def read_table(path: Path) -> Any:
    """Read any Parquet file as a pyarrow table; raises DataError if it is missing or not readable."""
    with opened(path, absent="predict the set first, or correct the path") as file:
        return table_of(file)


def table_of(file: InputFile) -> Any:
    """Return what an open Parquet file holds as a pyarrow table; raises DataError if it is not readable."""
    try:
        return read_parquet_table(file)
    except UnreadableParquetError as error:
        raise DataError(f"{file.path}: this is not a readable Parquet file ({error}); write it again") from error


def _source(path: Path) -> Any:
    """Return what pyarrow reads a file from: a run's file is verified first, and read from these very bytes."""
    own = read_of_run(path)
    return path if own is None else pa.BufferReader(own)


def from_table(table: Any) -> Predictions:
    """Return the predictions that a pyarrow table with the file's columns holds; raises DataError, without a path."""
    classes = _count_classes(table)
    id_P, ids = _encode(table, "id", pa.large_string())
    member_P, members = _encode_members(table)
    order_P = _order_of_once(id_P, member_P, ids=ids, members=members)
    left_out_MN = None
    if LEFT_OUT in table.column_names:
        order_P, left_out_MN = order_of_pairs(id_P, member_P, examples=len(ids), members=len(members))
    elif len(order_P) < len(ids) * len(members):
        _tell_missing(id_P, member_P, ids=ids, members=members)

    def cells(name: str, kind: Any, null: float) -> NDArray[Any]:
        column_P: NDArray[Any] = _column(table, name, kind).fill_null(null).to_numpy()
        return column_P[order_P].reshape(len(members), len(ids))

    labels_N = _agreed(cells("label", pa.int64(), _NO_LABEL), "label", ids=ids, members=members)
    kind = _kind_of_logits(table, classes)
    logits_MNC = np.stack([cells(name, kind, np.nan) for name in _logit_names(classes)], axis=-1)
    if has_counts(table):
        options_N = _agreed(cells(OPTIONS, pa.int64(), 0), OPTIONS, ids=ids, members=members)
        logits_MNC = _with_counts(logits_MNC, options_N, ids)
    truth_NC = None
    if any(name.startswith("true_") for name in table.column_names):
        names = [f"true_{c}" for c in range(classes)]
        truth_CN = [_agreed(cells(name, pa.float64(), np.nan), name, ids=ids, members=members) for name in names]
        truth_NC = np.stack(truth_CN, axis=-1)
    return Predictions(
        ids=tuple(ids),
        labels=tuple(None if label == _NO_LABEL else label for label in labels_N.tolist()),
        members=members,
        logits_MNC=with_lacking(logits_MNC),
        true_probs_NC=truth_NC,
        answer_mass_MN=cells("answer_mass", pa.float64(), np.nan) if "answer_mass" in table.column_names else None,
        left_out_MN=left_out_MN,
        origin=origin_of_metadata(table.schema.metadata),
    )


def _with_counts(
    logits_MNC: NDArray[np.floating], options_N: NDArray[np.int64], ids: Sequence[str]
) -> NDArray[np.floating]:
    members, examples, classes = logits_MNC.shape
    return with_counts(
        logits_MNC.reshape(-1, classes),
        np.tile(options_N, members),
        place=lambda row: f"example {clipped(ids[row % examples])}",
        names=_logit_names(classes),
    ).reshape(logits_MNC.shape)


def _count_classes(table: Any) -> int:
    if table.num_rows == 0:
        raise DataError("the file has no rows; predict a set that has examples")
    found = sum(_OF_CLASS.fullmatch(name) is not None for name in table.column_names)
    return max(2, found)  # two at least, so that a missing logit_1 is named


def _kind_of_logits(table: Any, classes: int) -> Any:
    """Return float32 where no logit has more digits, as where our models made them, else float64."""
    short = (pa.float16(), pa.float32())
    given = [table.field(name).type for name in _logit_names(classes) if table.schema.get_field_index(name) >= 0]
    return pa.float32() if all(kind in short for kind in given) else pa.float64()


def _logit_names(classes: int) -> list[str]:
    return [f"logit_{c}" for c in range(classes)]


def _column(table: Any, name: str, kind: Any) -> Any:
    if (times := len(table.schema.get_all_field_indices(name))) != 1:
        how_often = "there twice" if times else "missing"
        raise DataError(
            f"column {name!r} is {how_often}; the file needs id, label (null where unknown), seed and one logit_c "
            f"per class, at least logit_0 and logit_1, but has {listed(table.column_names)}"
        )
    column = table.column(name)
    try:
        if kind != pa.large_string() and (pa.types.is_temporal(column.type) or pa.types.is_boolean(column.type)):
            raise pa.ArrowInvalid(f"it holds {column.type}")  # which is no number, though it has bits like one
        return column.cast(kind).combine_chunks()
    except pa.ArrowException as error:
        why = clipped(str(error))
        raise DataError(f"column {name!r} cannot be read as {kind}: {why}; store it as {kind}") from error


def _encode(table: Any, name: str, kind: Any) -> tuple[NDArray[np.int64], list[Any]]:
    """Return each row's index into the distinct values, and those values in order of first mention."""
    column = _column(table, name, kind)
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise DataError(f"row {row} has no {name}; give every row its example's id and its member's seed")
    encoded = column.dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _encode_members(table: Any) -> tuple[NDArray[np.int64], tuple[MemberId, ...]]:
    """Return each row's index into the members, and those in order of first mention."""
    seed_P, seeds = _encode(table, "seed", pa.int64())
    if "sample" not in table.column_names:
        return seed_P, trained(seeds)
    sample_P, samples = _encode(table, "sample", pa.int64())
    pairs, first, pair_P = np.unique(seed_P * len(samples) + sample_P, return_index=True, return_inverse=True)
    order = np.argsort(first)
    whole = [divmod(pair, len(samples)) for pair in pairs[order].tolist()]
    return np.argsort(order)[pair_P], tuple(MemberId(seeds[seed], samples[sample]) for seed, sample in whole)


def _order_of_once(
    id_P: NDArray[np.int64], member_P: NDArray[np.int64], *, ids: list[str], members: Sequence[MemberId]
) -> NDArray[np.intp]:
    """Return the order of the rows, member after member; none may be there twice."""
    cell_P = member_P * len(ids) + id_P
    order_P = np.argsort(cell_P, kind="stable")
    twice = np.flatnonzero(np.diff(cell_P[order_P]) == 0)
    if twice.size:
        row = order_P[twice[0]]
        raise DataError(
            f"example {clipped(ids[id_P[row]])} has {members[member_P[row]].title} more than once; "
            "keep one row per example and member, or give equal ids different names"
        )
    return order_P


def _tell_missing(
    id_P: NDArray[np.int64], member_P: NDArray[np.int64], *, ids: list[str], members: Sequence[MemberId]
) -> NoReturn:
    short = int(np.argmin(np.bincount(id_P)))
    present = set(member_P[id_P == short].tolist())
    missing = next(member for m, member in enumerate(members) if m not in present)
    raise DataError(
        f"example {clipped(ids[short])} has no row of {missing.title}; every member must predict every example, "
        "so predict the set again or leave that member out"
    )


def _agreed(values_MN: NDArray[Any], column: str, *, ids: list[str], members: Sequence[MemberId]) -> NDArray[Any]:
    """Return the members' common values [N]; two NaN do not differ here, `Predictions` refuses them."""
    differs_MN = (values_MN != values_MN[0]) & ~((values_MN != values_MN) & (values_MN[0] != values_MN[0]))
    if differs_MN.any():
        m, n = np.argwhere(differs_MN)[0]
        first, other = ("null" if value == _NO_LABEL else value for value in (values_MN[0, n], values_MN[m, n]))
        raise DataError(
            f"example {clipped(ids[n])} has {column} {first} in the row of {members[0].title} but {other} in that of "
            f"{members[m].title}; it belongs to the example, so write the same value in every row"
        )
    common_N: NDArray[Any] = values_MN[0]
    return common_N
