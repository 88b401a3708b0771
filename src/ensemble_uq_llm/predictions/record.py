"""What every member said about every example: the record, checked when it is made."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.labels.lacking_options import lacks
from ensemble_uq_llm.labels.option_letters import FEWEST_OPTIONS
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.array_parts import parts_of_arrays
from ensemble_uq_llm.predictions.left_out.left_out_cells import check_left_out, without_the_others
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.utils.extras import naming_extras
from ensemble_uq_llm.utils.text import clipped, counted

if TYPE_CHECKING:
    import pandas as pd

_SUM_TOLERANCE = 1e-6
_MOST_SHOWN = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The logits of M members on N examples of C classes, checked when it is made.

    Raises:
        DataError: no member or example, fewer than two classes, an id or member twice, a label out of range,
            a logit that is not finite, true probabilities that are none, or a class that only some members' logits
            lack, or that lacks and is the label.
        ValueError: the parts differ in length.
    """

    ids: tuple[str, ...]
    """The examples' names, length N."""
    labels: tuple[int | None, ...]
    """Class indices, length N; None where the label is unknown."""
    members: tuple[MemberId, ...]
    """Who the members are, length M."""
    logits_MNC: NDArray[np.floating]
    """Unnormalised log-probabilities, of 64 bits where they come from elsewhere, of 32 where our models made them; of a
    class that an example lacks (an option of multiple choice) `labels.lacking_options.LACKING`."""
    true_probs_NC: NDArray[np.float64] | None = None
    """The true probability of each class; known only for synthetic worlds."""
    origin: Origin | None = None
    """What made them; None for those of other programs."""
    answer_mass_MN: NDArray[np.float64] | None = None
    """How probable all answers together are among all tokens; known only of answer heads, where that was asked for."""
    left_out_MN: NDArray[np.bool_] | None = None
    """Of training rows, True where the member was not trained on the example; the others do not count."""
    class_names: tuple[str, ...] = ()
    """How the classes are called, length C; empty where nobody has said."""

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_names(self)
        _check_labels(self)
        _check_logits(self)
        _check_truth(self)
        _check_mass(self)
        _check_lacking(self)
        check_left_out(self.left_out_MN, self.ids, len(self.members))

    @classmethod
    def from_arrays(
        cls,
        *,
        logits: ArrayLike | None = None,
        probs: ArrayLike | None = None,
        labels: Sequence[int | None] | ArrayLike | None = None,
        ids: Sequence[str] | ArrayLike | None = None,
        seeds: Sequence[int] | ArrayLike | None = None,
        members: Sequence[MemberId] | None = None,
        true_probs: ArrayLike | None = None,
        options: Sequence[int] | ArrayLike | None = None,
        classes: Sequence[str] | None = None,
    ) -> Self:
        """Make the record of arrays, by the rules of NPZ files.

        Args:
            logits: [M, N, C], or [N, C] of one member.
            probs: the same of probabilities, in place of logits; or [N] for P(class 1) of two classes. They are kept
                as their logarithms; see `foreign_values.log_probabilities`.
            labels: [N] class numbers; -1, NaN or None where unknown.
            ids: [N] names of the examples; counted from 0 by default.
            seeds: [M] whole numbers that name the members; counted from 0 by default.
            members: the members' identities in place of seeds, where a seed has several samples.
            true_probs: [N, C], where the true probability of each class is known.
            options: [N] how many of the classes, the first ones, each example of multiple choice has.
            classes: the names of the classes in the order of their numbers, where labels are names.

        Raises:
            DataError: not exactly one of logits and probs; an array has another shape; or a value is refused.
        """
        parts = parts_of_arrays(
            logits=logits,
            probs=probs,
            labels=labels,
            ids=ids,
            seeds=seeds,
            members=members,
            true_probs=true_probs,
            options=options,
            classes=classes,
        )
        return cls(**parts)

    @cached_property
    def labels_N(self) -> NDArray[np.int64]:
        """The labels as an array; -1 where unknown, so use it together with `labelled_N`."""
        return np.array([-1 if label is None else label for label in self.labels], dtype=np.int64)

    @cached_property
    def labelled_N(self) -> NDArray[np.bool_]:
        """True where the label is known."""
        return self.labels_N >= 0

    @cached_property
    def lacks_NC(self) -> NDArray[np.bool_] | None:
        """The classes that each example lacks; None where every example has all."""
        lacks_NC = lacks(self.logits_MNC[0])
        return lacks_NC if lacks_NC.any() else None

    def __repr__(self) -> str:
        members, examples, classes = self.logits_MNC.shape
        return (
            f"Predictions({counted(examples, 'example')}, {int(self.labelled_N.sum()):,} labelled, "
            f"{counted(classes, 'class', 'classes')}, {counted(members, 'member')} from {self.members[0].title})"
        )

    @naming_extras()
    def to_frame(self) -> "pd.DataFrame":
        """Return a data frame as tidy as the Parquet file: one row per example and member.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return self.to_table().to_pandas().astype({"label": "Int64"})

    def to_table(self) -> Any:
        """Return the pyarrow table of the tidy Parquet file, member after member."""
        members, examples, classes = self.logits_MNC.shape
        logits_PC = self.logits_MNC.reshape(members * examples, classes)
        kind = pa.float32() if logits_PC.dtype == np.float32 else pa.float64()
        columns: dict[str, Any] = {
            "id": pa.array(self.ids * members, pa.string()),
            "label": pa.array(self.labels * members, pa.int64()),
            "seed": pa.array(np.repeat([member.seed for member in self.members], examples), pa.int64()),
        }
        if any(member.sample for member in self.members):
            columns["sample"] = pa.array(np.repeat([member.sample for member in self.members], examples), pa.int64())
        lacks_NC = self.lacks_NC
        lacks_PC = np.zeros(logits_PC.shape, np.bool_) if lacks_NC is None else np.tile(lacks_NC, (members, 1))
        if lacks_NC is not None:
            columns["options"] = pa.array(classes - lacks_PC.sum(axis=1), pa.int64())
        columns |= {f"logit_{c}": pa.array(logits_PC[:, c], kind, mask=lacks_PC[:, c]) for c in range(classes)}
        if self.answer_mass_MN is not None:
            columns["answer_mass"] = pa.array(self.answer_mass_MN.reshape(-1), pa.float64())
        if self.true_probs_NC is not None:
            truth_PC = np.tile(self.true_probs_NC, (members, 1))
            columns |= {f"true_{c}": pa.array(truth_PC[:, c], pa.float64()) for c in range(classes)}
        return without_the_others(pa.table(columns), self.left_out_MN)


def check_is_predictions(value: Any, what: str) -> None:
    """Raise ConfigError where a caller gave something else as the Predictions that `what` takes."""
    if not isinstance(value, Predictions):
        raise ConfigError(
            f"{what} takes Predictions, found {clipped(value)}; read a file with load_predictions, or make them of "
            "arrays with Predictions.from_arrays"
        )


def _check_shapes(predictions: Predictions) -> None:
    shape = predictions.logits_MNC.shape
    truth = predictions.true_probs_NC
    expected = len(predictions.members), len(predictions.ids)
    if len(shape) != 3 or shape[:2] != expected or len(predictions.labels) != expected[1]:
        raise ValueError(
            f"logits_MNC has shape {shape}, but there are {expected[0]} members, {expected[1]} ids and "
            f"{len(predictions.labels)} labels"
        )
    if truth is not None and truth.shape != shape[1:]:
        raise ValueError(f"true_probs_NC has shape {truth.shape}, but logits_MNC has shape {shape}")
    if 0 in shape[:2]:
        raise DataError(f"there are {shape[0]} members and {shape[1]} examples; at least one of each is needed")
    if shape[2] < 2:
        raise DataError(f"there are {shape[2]} classes; at least logit_0 and logit_1 are needed")
    if (named := len(predictions.class_names)) not in (0, shape[2]):
        raise DataError(f"{named} classes are named, but there are {shape[2]}; name every class, in order")


def _check_names(predictions: Predictions) -> None:
    try:
        "".join(predictions.ids).encode()
    except UnicodeEncodeError:
        odd = next(n for n, each in enumerate(predictions.ids) if any(0xD800 <= ord(char) <= 0xDFFF for char in each))
        raise DataError(
            f"id {clipped(predictions.ids[odd])} of example {odd} (from 0) holds half a character (a lone surrogate), "
            "which no file can hold; write the ids again as whole text"
        ) from None
    shown = (predictions.ids, lambda name: f"id {clipped(name)}"), (predictions.members, lambda member: member.title)
    for names, in_words in shown:
        double, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise DataError(f"{in_words(double)} is there twice; names of examples and members must differ")


def _check_labels(predictions: Predictions) -> None:
    classes = predictions.logits_MNC.shape[2]
    for example, label in zip(predictions.ids, predictions.labels, strict=True):
        if label is not None and not 0 <= label < classes:
            raise DataError(
                f"example {clipped(example)} has label {label}; with {classes} classes it must be 0 to {classes - 1}, "
                "or null where it is unknown"
            )


def _check_logits(predictions: Predictions) -> None:
    if not np.isfinite(predictions.logits_MNC).all():
        m, n, c = np.argwhere(~np.isfinite(predictions.logits_MNC))[0]
        raise DataError(
            f"example {clipped(predictions.ids[n])}, {predictions.members[m].title}: logit_{c} is "
            f"{predictions.logits_MNC[m, n, c]}; a member that diverged must be left out"
        )


def _check_lacking(predictions: Predictions) -> None:
    lacks_NC, classes = predictions.lacks_NC, predictions.logits_MNC.shape[2]
    first_NC = np.zeros(predictions.logits_MNC.shape[1:], np.bool_) if lacks_NC is None else lacks_NC
    differs_MNC = lacks(predictions.logits_MNC) != first_NC
    if differs_MNC.any():
        m, n, c = np.argwhere(differs_MNC)[0]
        without, other = (predictions.members[i].title for i in ((0, m) if first_NC[n, c] else (m, 0)))
        raise DataError(
            f"example {clipped(predictions.ids[n])} has no logit_{c} of {without} and one of {other}; an option is "
            "there for all members or for none, and a member that diverged must be left out"
        )
    if lacks_NC is None:
        return
    few_N = (~lacks_NC).sum(axis=1) < FEWEST_OPTIONS
    absent_N = predictions.labelled_N & lacks_NC[np.arange(len(lacks_NC)), predictions.labels_N]
    if few_N.any() or absent_N.any():
        n = int(np.argmax(few_N | absent_N))
        options = classes - int(lacks_NC[n].sum())
        found = f"the label {predictions.labels[n]}, which it does not have" if absent_N[n] else "nothing to choose"
        raise DataError(
            f"example {clipped(predictions.ids[n])} has {counted(options, 'option')} of {classes} classes and {found}; "
            f"give every example a number for its label and for at least {FEWEST_OPTIONS} classes"
        )
    if predictions.true_probs_NC is not None and (hopeful_NC := lacks_NC & (predictions.true_probs_NC > 0)).any():
        n, c = np.argwhere(hopeful_NC)[0]
        raise DataError(
            f"example {clipped(predictions.ids[n])} has no logit_{c}, and true_{c} is "
            f"{predictions.true_probs_NC[n, c]}; an option that is not there has the true probability 0"
        )


def _check_truth(predictions: Predictions) -> None:
    truth_NC = predictions.true_probs_NC
    if truth_NC is None:
        return
    # Comparisons with NaN are false, so what is not a number is no distribution either.
    valid_N = (truth_NC >= 0).all(axis=1) & (np.abs(truth_NC.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not valid_N.all():
        n = int(np.argmin(valid_N))
        more = "..." if truth_NC.shape[1] > _MOST_SHOWN else ""
        raise DataError(
            f"example {clipped(predictions.ids[n])} has true probabilities {truth_NC[n, :_MOST_SHOWN].tolist()}{more}; "
            "they must be numbers from 0 to 1 that sum to 1 (or leave all true_ columns out)"
        )


def _check_mass(predictions: Predictions) -> None:
    mass_MN = predictions.answer_mass_MN
    if mass_MN is None:
        return
    if mass_MN.shape != predictions.logits_MNC.shape[:2]:
        raise ValueError(f"answer_mass_MN has shape {mass_MN.shape}, but logits_MNC {predictions.logits_MNC.shape}")
    valid_MN = (mass_MN >= 0) & (mass_MN <= 1 + _SUM_TOLERANCE)
    if not valid_MN.all():
        m, n = np.argwhere(~valid_MN)[0]
        raise DataError(
            f"example {clipped(predictions.ids[n])}, {predictions.members[m].title}: answer_mass is {mass_MN[m, n]}; "
            "it must be a probability, in every row (or leave the column out)"
        )
