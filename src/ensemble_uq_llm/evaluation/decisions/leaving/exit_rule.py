"""When enough members have been asked: the rest cannot change the decision, or hardly ever would.

A decision is the class that is answered, or that nothing is. It is made by the mean of the members' probabilities: the
most probable class, answered where one minus its probability is at most a threshold (`Certificate`), or always.

*Exact.* Each of the members that are left gives a class between 0 and 1, and all of its classes 1 together. So the lead
of the first class over another can shrink by 1 a member at most, however many classes there are: by one that gives all
to the other. Where the lead is larger than the number of members left, the class stands. One minus confidence lies
between what it is if all that are left give the first class 1, and if they give it 0; where the threshold does not,
answering or abstaining stands. Where it is abstained for certain, the class no longer matters.

*Certified.* A row is left where the mean of the members asked so far is far enough from any other decision: the margin
between the first two classes, and twice the distance of the confidence from the threshold (for two classes as far as
the margin moves with it), are both above `tau`. How often that changes decisions, `certify_exit` says.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FIRST: Final = 2
"""So many members are always asked: one by itself cannot say that it is alone."""

_SLACK: Final = 1e-5
"""Beyond a bound, as a mean of probabilities: what 32 bits, and members in other company, differ by is less."""


@dataclass(frozen=True, kw_only=True)
class ExitRule:
    """When no further member is asked."""

    members: int
    """How many there are to be asked."""
    threshold: float | None = None
    """Answered is where one minus confidence is at most this; None where every question is."""
    tau: float | None = None
    """Of the certified exit; None of the exact one."""

    def settled(self, probs_MNC: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which questions need no further member.

        Args:
            probs_MNC: of the members that were asked, all of them about all of the questions.
        """
        asked = len(probs_MNC)
        if asked >= self.members:
            return np.ones(probs_MNC.shape[1], np.bool_)
        if asked < FIRST:
            return np.zeros(probs_MNC.shape[1], np.bool_)
        if self.tau is None:
            return self._cannot_change(probs_MNC)
        return certainty(probs_MNC, self.threshold) > self.tau

    def _cannot_change(self, probs_MNC: NDArray[np.float64]) -> NDArray[np.bool_]:
        left = self.members - len(probs_MNC)
        second_N, first_N = np.partition(probs_MNC.sum(axis=0), -2, axis=1)[:, -2:].T
        class_stands_N: NDArray[np.bool_] = first_N - second_N > left + _SLACK * self.members
        if self.threshold is None:
            return class_stands_N
        least_N, most_N = 1 - (first_N + left) / self.members, 1 - first_N / self.members
        abstains_N: NDArray[np.bool_] = least_N > self.threshold + _SLACK
        return abstains_N | (class_stands_N & (most_N < self.threshold - _SLACK))


def certainty(probs_MNC: NDArray[np.float64], threshold: float | None) -> NDArray[np.float64]:
    """Return how far, 0 to 1, the mean of the members is from another decision."""
    second_N, first_N = np.partition(probs_MNC.mean(axis=0), -2, axis=1)[:, -2:].T
    margin_N: NDArray[np.float64] = first_N - second_N
    if threshold is None:
        return margin_N
    below_N = threshold - (1 - first_N)
    return np.where(below_N < 0, -2 * below_N, np.minimum(margin_N, 2 * below_N))
