"""Which score to use here: the one with the lowest AURC, and whether it is really better than the baseline.

The best of many scores looks better than the baseline even where all are equally good. So the choice is judged
by White's reality check (White 2000, "A reality check for data snooping", Econometrica 68(5)): how often
resampling alone would make the best of them look as good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.records import BestScore
from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.significance import SIGNIFICANCE_LEVEL

CRITERION: Final = "aurc"

ALL_SCORES: Final = tuple(score.name for score in SCORES)

_TIE = 1e-12  # AURCs this near each other, relatively, are equal up to rounding


def choose_score(
    resampled: Mapping[str, Resampled[str]], *, names: Sequence[str] = ALL_SCORES, baseline: str = BASELINE
) -> BestScore:
    """Choose the score of lowest AURC and judge the choice against the baseline.

    The score of lowest AURC is the baseline where that ties with it. The p-value of the gain knows nothing of the
    choice; that of the choice tests that no score is better than the baseline. The best score is really better
    where it beats the baseline by more than chance and choice explain, at the 5% level.

    Args:
        resampled: the selective numbers by score, all from the same draws.
        names: the scores to choose from; an earlier one wins a tie, the baseline any.
        baseline: the score that has to be beaten.
    """
    candidates = [baseline, *(name for name in names if name != baseline)]
    aurc_K = np.array([resampled[name].values[CRITERION] for name in candidates])
    aurc_KD = np.stack([resampled[name].draws_D[CRITERION] for name in candidates])
    best = int(np.argmax(aurc_K <= aurc_K.min() * (1 + _TIE)))
    gain = compare(
        *(float(aurc_K[0]), aurc_KD[0], float(aurc_K[best]), aurc_KD[best]), examples=resampled[baseline].examples
    )
    p_value = _reality_check(aurc_K[0] - aurc_K, aurc_KD[0] - aurc_KD, best)
    really_better = p_value is not None and gain.ci95 is not None and p_value < SIGNIFICANCE_LEVEL and gain.ci95[0] > 0
    choice = BestScore(
        best=candidates[best],
        baseline=baseline,
        criterion=CRITERION,
        gain=gain,
        p_value_of_choice=p_value,
        compared=len(candidates),
        really_better=really_better,
        answer="",
    )
    return replace(choice, answer=_answer(choice))


def _reality_check(gain_K: NDArray[np.float64], gain_KD: NDArray[np.float64], best: int) -> float | None:
    """Return the share of draws whose best centred gain reaches that of the chosen, one added above and below.

    The baseline takes part with its gain of 0; where it is chosen itself, every draw reaches it.
    """
    if not gain_KD.shape[1]:
        return None
    luck_D = (gain_KD - gain_K[:, None]).max(axis=0)
    return (1 + int((luck_D >= gain_K[best]).sum())) / (1 + len(luck_D))


def _answer(choice: BestScore) -> str:
    """Return in one sentence which score to use."""
    best, baseline = (_in_words(name) for name in (choice.best, choice.baseline))
    if choice.best == choice.baseline:
        return f"Use {baseline}: none of the {choice.compared - 1} other scores has a lower AURC."
    gain = f"{choice.gain.value:.2g}"
    if choice.p_value_of_choice is None or choice.gain.ci95 is None:
        return f"Use {baseline}: {best} has the lowest AURC, by {gain}, but without bootstrap draws that may be chance."
    low, high = choice.gain.ci95
    evidence = (
        f"(95% interval {low:.2g} to {high:.2g}; p = {choice.p_value_of_choice:.2g}, "
        f"allowing for the choice among {choice.compared})"
    )
    if choice.really_better:
        return f"Use {best}: its AURC is lower than that of {baseline} by {gain} {evidence}."
    return f"Use {baseline}: {best} has a lower AURC by {gain}, but that may be chance {evidence}."


def _in_words(name: str) -> str:
    title = next((score.title for score in SCORES if score.name == name), name)
    return title[0].lower() + title[1:]
