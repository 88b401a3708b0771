"""Which score to use here: one of low AURC that is really better than the baseline, else the baseline.

The best of many scores looks better than the baseline even where all are equally good. So the choice is judged by
Hansen's test for superior predictive ability; see `superior_ability`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from ensemble_uq_llm.evaluation.records import BestScore
from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, SIGNIFICANCE_LEVEL, p_in_words
from ensemble_uq_llm.statistics.superior_ability import superior_ability

CRITERION: Final = "aurc"

ALL_SCORES: Final = tuple(score.name for score in SCORES)

_TIE = 1e-12  # AURCs this near each other, relatively, are equal up to rounding


def choose_score(
    resampled: Mapping[str, Resampled[str]], *, names: Sequence[str] = ALL_SCORES, baseline: str = BASELINE
) -> BestScore:
    """Choose a score of low AURC and judge the choice against the baseline.

    The best is the score of lowest AURC among those that are really better than the baseline; where none is, of all,
    and the baseline where that ties with it. The p-value of the gain is two-sided and knows nothing of the choice; that
    of the choice is one-sided, and the chance that the luckiest of all scores gains as much, in its standard errors, if
    none is better than the baseline. A score is really better where that is below 5% and the 95% interval of its gain
    lies above 0. Of fewer than 20 examples none is.

    Args:
        resampled: the selective numbers by score, all from the same draws.
        names: the scores to choose from; an earlier one wins a tie, the baseline any.
        baseline: the score that has to be beaten.
    """
    candidates = [baseline, *(name for name in names if name != baseline)]
    aurc_K = np.array([resampled[name].values[CRITERION] for name in candidates])
    aurc_KD = np.stack([resampled[name].draws_D[CRITERION] for name in candidates])
    examples, draws = resampled[baseline].examples, aurc_KD.shape[1]
    gains = [
        compare(float(aurc_K[0]), aurc_KD[0], *each, examples=examples) for each in zip(aurc_K, aurc_KD, strict=True)
    ]
    p_K = np.full(len(candidates), np.nan)
    if draws and examples >= FEWEST_EXAMPLES:
        differences = (aurc_K[0] - aurc_K, aurc_KD[0] - aurc_KD)
        p_K = superior_ability(*differences, examples=examples, scale=float(aurc_K[0]))
    better_K = np.array([p < SIGNIFICANCE_LEVEL and _above_0(gain) for p, gain in zip(p_K, gains, strict=True)])
    eligible_K = np.where(better_K, aurc_K, np.inf) if better_K.any() else aurc_K
    best = int(np.argmax(eligible_K <= eligible_K.min() * (1 + _TIE)))
    choice = BestScore(
        best=candidates[best],
        baseline=baseline,
        criterion=CRITERION,
        gain=gains[best],
        p_value_of_choice=None if np.isnan(p_K[best]) else float(p_K[best]),
        at_floor=bool(p_K[best] == 1 / (1 + draws)),
        compared=len(candidates),
        really_better=bool(better_K[best]),
        answer="",
    )
    return replace(choice, answer=_answer(choice, examples))


def _above_0(gain: Comparison) -> bool:
    return gain.ci95 is not None and gain.ci95[0] > 0


def _answer(choice: BestScore, examples: int) -> str:
    """Return in one sentence which score to use."""
    best, baseline = (_in_words(name) for name in (choice.best, choice.baseline))
    if choice.best == choice.baseline:
        return f"Use {baseline}: none of the {choice.compared - 1} other scores has a lower AURC."
    gain = f"{choice.gain.value:.2g}"
    if examples < FEWEST_EXAMPLES:
        few = f"fewer than {FEWEST_EXAMPLES} examples tell nothing"
        return f"Use {baseline}: {best} has the lowest AURC, by {gain}, but {few}."
    if choice.p_value_of_choice is None or choice.gain.ci95 is None:
        return f"Use {baseline}: {best} has the lowest AURC, by {gain}, but without bootstrap draws that may be chance."
    low, high = choice.gain.ci95
    p_value = p_in_words(choice.p_value_of_choice, at_floor=choice.at_floor)
    evidence = (
        f"(95% interval {low:.2g} to {high:.2g}; one-sided {p_value}, allowing for the choice among {choice.compared})"
    )
    if choice.really_better:
        return f"Use {best}: its AURC is lower than that of {baseline} by {gain} {evidence}."
    return f"Use {baseline}: {best} has a lower AURC by {gain}, but that may be chance {evidence}."


def _in_words(name: str) -> str:
    title = next((score.title for score in SCORES if score.name == name), name)
    return title[0].lower() + title[1:]
