"""Scores of how uncertain an answer is, one number an example; higher is less certain.

A score only ranks examples, so each is computed in the form that keeps the order where the ensemble is nearly
sure: from the probabilities of the other classes, which have digits left where 1 - p has none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
from ensemble_uq_llm.statistics.ties import ROUNDING, snapped


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of the table of scores."""

    name: str
    """Its name in the metrics JSON."""
    title: str
    """Its name for readers."""
    of: Callable[[Uncertainty], NDArray[np.float64]]
    """The score of every example."""
    of_agreeing: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None
    """From one minus confidence, the most that rounding shows of it where all members agree; None where they show
    more of it than that."""
    is_doubt_of_two: bool = False
    """Whether it ranks examples of two classes as one minus confidence does."""
    is_of_disagreement: bool = False
    """Whether it is 0 for every example of a single member."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One line of a table of the numbers that say how good a score is at a task."""

    name: str
    """Its name in the metrics JSON."""
    title: str
    """Its name for readers."""
    format: str
    """How its values are shown, a format specification."""
    higher_is_better: bool | None
    """None where neither is."""


def uncertainty_scores(uncertainty: Uncertainty) -> dict[str, NDArray[np.float64]]:
    """Return every score of the examples by its name, [N] each; higher is less certain."""
    return {score.name: score.of(uncertainty) for score in scores_known(uncertainty)}


def scores_known(*sets: Uncertainty) -> "tuple[Score, ...]":
    """Return the scores that every one of the sets has: nine, and the answer mass where it is known of all."""
    has_mass = all(each.answer_mass_N is not None for each in sets)
    return (*SCORES, ANSWER_MASS) if has_mass else SCORES


def scores_to_rank(*sets: Uncertainty) -> tuple[dict[str, NDArray[np.float64]], ...]:
    """Return every score of each set, equal where the scores of any two examples differ by rounding alone.

    Rankings are made of these, not of the scores as they were computed; see `statistics.ties`.
    """
    ends = list(accumulate((len(each.prediction_N) for each in sets), initial=0))
    doubt_N = np.concatenate([_one_minus_confidence(each) for each in sets])
    ranked: dict[str, NDArray[np.float64]] = {}
    for score in scores_known(*sets):
        score_N = np.concatenate([score.of(each) for each in sets])
        if score.is_doubt_of_two and sets[0].probs_NC.shape[1] == 2:
            score_N = doubt_N  # entropy is flat at one half: there its own digits say less
        if score.of_agreeing is not None:
            score_N = np.where(score_N <= score.of_agreeing(doubt_N), 0.0, score_N)
        ranked[score.name] = snapped(score_N)
    return tuple({name: score_N[at:end] for name, score_N in ranked.items()} for at, end in pairwise(ends))


def _one_minus_confidence(uncertainty: Uncertainty) -> NDArray[np.float64]:
    doubt_N: NDArray[np.float64] = _other_probs(uncertainty).sum(axis=1)
    return doubt_N


def _one_minus_margin(uncertainty: Uncertainty) -> NDArray[np.float64]:
    others_NC = _other_probs(uncertainty)
    # 1 - (first - second) as a sum of what is small where the ensemble is sure.
    doubt_N: NDArray[np.float64] = others_NC.sum(axis=1) + others_NC.max(axis=1)
    return doubt_N


def _other_probs(uncertainty: Uncertainty) -> NDArray[np.float64]:
    """Return the pooled probabilities with the predicted class's set to 0."""
    others_NC = uncertainty.probs_NC.copy()
    np.put_along_axis(others_NC, uncertainty.prediction_N[:, None], 0.0, axis=1)
    return others_NC


BASELINE = "one_minus_confidence"
"""The score that needs no ensemble: another one has to be better than it (Hendrycks and Gimpel 2017)."""

SCORES = (
    Score(
        name="one_minus_confidence",
        title="One minus confidence",
        of=_one_minus_confidence,
    ),
    Score(
        name="margin",
        title="One minus margin",
        of=_one_minus_margin,
        is_doubt_of_two=True,
    ),
    Score(
        name="entropy",
        title="Entropy",
        of=lambda uncertainty: uncertainty.entropy_N,
        is_doubt_of_two=True,
    ),
    Score(
        name="expected_entropy",
        title="Expected entropy",
        of=lambda uncertainty: uncertainty.expected_entropy_N,
    ),
    Score(
        name="mutual_information",
        title="Mutual information",
        of=lambda uncertainty: uncertainty.mutual_information_N,
        of_agreeing=lambda doubt_N: ROUNDING**2 * doubt_N,
        is_of_disagreement=True,
    ),
    Score(
        name="variance",
        title="Variance",
        of=lambda uncertainty: uncertainty.variance_N,
        of_agreeing=lambda doubt_N: (ROUNDING * doubt_N) ** 2,
        is_of_disagreement=True,
    ),
    Score(
        name="expected_pairwise_kl",
        title="Expected pairwise KL",
        of=lambda uncertainty: uncertainty.expected_pairwise_kl_N,
        of_agreeing=lambda doubt_N: ROUNDING**2 * doubt_N,
        is_of_disagreement=True,
    ),
    Score(
        name="disagreement",
        title="Disagreement",
        of=lambda uncertainty: uncertainty.disagreement_N,
        is_of_disagreement=True,
    ),
    Score(
        name="spread",
        title="Spread",
        of=lambda uncertainty: uncertainty.spread_N,
        of_agreeing=lambda doubt_N: ROUNDING * doubt_N,
        is_of_disagreement=True,
    ),
)
"""What every ensemble has, and what the score to abstain by is chosen from."""

OF_DISAGREEMENT: Final = tuple(score.name for score in SCORES if score.is_of_disagreement)
"""Scores that a single member has not: nobody disagrees with it."""


def scores_to_abstain_by(members: int) -> tuple[str, ...]:
    """Return the scores that the one to abstain by is chosen from, of so many members."""
    return tuple(score.name for score in SCORES if members > 1 or not score.is_of_disagreement)


def _one_minus_answer_mass(uncertainty: Uncertainty) -> NDArray[np.float64]:
    assert uncertainty.answer_mass_N is not None, "only where it is known"
    return np.subtract(1.0, uncertainty.answer_mass_N)


ANSWER_MASS = Score(name="one_minus_answer_mass", title="One minus answer mass", of=_one_minus_answer_mass)
"""How probable it is that the model would say anything but an answer: a score of how strange a question is."""
