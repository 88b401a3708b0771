"""A promise of at most so many wrong answers among the given ones, and which questions are answered under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.records import PromiseVerdict
from ensemble_uq_llm.statistics.intervals import Interval

By: TypeAlias = Literal["all", "class", "group"]


@dataclass(frozen=True, kw_only=True)
class CertifiedGroup:
    """What is answered of all rows, of those of a predicted class, or of those of a group."""

    group: str | None
    """The name of the class or group; None where all rows are one."""
    threshold: float | None
    """Answered is where the score is at most this; None where nothing could be certified."""
    rows: int
    """The calibration rows."""
    wrong: int
    """How many of them are answered wrongly where all are."""
    answered: int = 0
    """How many of them score at most the threshold."""
    wrong_answered: int = 0

    @property
    def coverage(self) -> float:
        """The share of the calibration rows that is answered."""
        return self.answered / self.rows

    @property
    def risk(self) -> float | None:
        """The share of wrong answers among the answered calibration rows: below the promise, for it is no promise."""
        return self.wrong_answered / self.answered if self.answered else None

    @property
    def plain_risk(self) -> float:
        """The share of wrong answers where all calibration rows are answered."""
        return self.wrong / self.rows


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """At most `target_risk` of the answered are wrong, of further rows of the calibration rows' kind.

    Of a hundred calibration sets at least so many as `confidence` says give a threshold that keeps this. It holds for
    every group together, and says nothing of rows of another kind.
    """

    target_risk: float
    confidence: float
    score: str
    """By which score; higher is less certain."""
    groups: tuple[CertifiedGroup, ...]
    by: By = "all"
    column: str | None = None
    """Where the groups' names stand, where they are of a column."""
    scores_tried: int = 1
    """How many scores share the error probability, as the one of most answers was taken of them (Bonferroni)."""
    chosen_on: int = 0
    """How many other rows have chosen the score, and take no part in the certificate."""

    @property
    def certified_risk(self) -> float | None:
        """The risk that is not exceeded, by the promise: the target; None where nothing could be certified."""
        return self.target_risk if any(each.threshold is not None for each in self.groups) else None

    @property
    def threshold(self) -> float | None:
        """The one threshold of all rows; None where nothing could be certified, or where every group has its own."""
        return self.groups[0].threshold if self.by == "all" else None

    @property
    def rows(self) -> int:
        """The calibration rows of all groups."""
        return sum(each.rows for each in self.groups)

    @property
    def answered(self) -> int:
        """The answered calibration rows of all groups."""
        return sum(each.answered for each in self.groups)

    @property
    def coverage(self) -> float:
        """The share of the calibration rows that is answered."""
        return self.answered / self.rows

    def answers(self, scores_N: NDArray[np.float64], groups_N: Sequence[str] | None = None) -> NDArray[np.bool_]:
        """Return which examples are answered.

        Args:
            scores_N: by the certificate's score, as `uncertainty_scores` computes it.
            groups_N: of a certificate by class or group, the name of each example's; nothing is answered of a group
                that has not been seen.

        Raises:
            DataError: a certificate by class or group is given no groups.
        """
        if self.by == "all":
            return _at_most(scores_N, self.threshold)
        if groups_N is None or len(groups_N) != len(scores_N):
            raise DataError(
                f"the certificate has a threshold for every {self.column or 'predicted class'}; say which one each "
                "example has"
            )
        names_N = np.array(groups_N, dtype=object)
        answered_N = np.zeros(len(scores_N), np.bool_)
        for each in self.groups:
            answered_N |= (names_N == each.group) & _at_most(scores_N, each.threshold)
        return answered_N


def _at_most(scores_N: NDArray[np.float64], threshold: float | None) -> NDArray[np.bool_]:
    return np.zeros(len(scores_N), np.bool_) if threshold is None else scores_N <= threshold


@dataclass(frozen=True, kw_only=True)
class KeptPromise:
    """How a certificate does on other rows, of all of its groups or of one."""

    group: str | None
    verdict: PromiseVerdict
    rows: int
    answered: int
    wrong_answered: int
    risk_ci95: Interval
    """The exact interval of the share of wrong answers among the answered."""
