"""Which score to use here: the one with the lowest AURC, and whether it is really better than the baseline.

The best of many scores looks better than the baseline even where all are equally good. So the choice is judged
by White's reality check (White 2000, "A reality check for data snooping", Econometrica 68(5)): how often
resampling alone would make the best of them look as good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES
from ensemble_uq_llm.evaluation.statistics.bootstrap import Comparison, Resampled, compare
from ensemble_uq_llm.evaluation.statistics.significance import SIGNIFICANCE_LEVEL

CRITERION = "aurc"

ALL_SCORES = tuple(score.name for score in SCORES)

_TIE = 1e-12  # AURCs this near each other, relatively, are equal up to rounding


@dataclass(frozen=True, kw_only=True)
class ScoreChoice:
    """The best score, and how much better than the baseline it is."""

    best: str
    """The score of lowest AURC; the baseline where it ties with it."""
    baseline: str
    gain: Comparison
    """AURC of the baseline minus that of the best, above 0 where the best is better; its p-value knows nothing
    of the choice."""
    p_value_of_choice: float | None
    """Of the hypothesis that no score is better than the baseline, the choice accounted for; None without draws."""
    compared: int
    """How many scores there were to choose from, the baseline included."""

    @property
    def really_better(self) -> bool:
        """Whether the best score beats the baseline by more than chance and choice explain, at the 5% level."""
        if self.p_value_of_choice is None or self.gain.ci95 is None:
            return False
        return self.p_value_of_choice < SIGNIFICANCE_LEVEL and self.gain.ci95[0] > 0

    def as_json(self) -> dict[str, Any]:
        """Return the form that the metrics JSON holds."""
        return {
            "best": self.best,
            "baseline": self.baseline,
            "criterion": CRITERION,
            "gain": self.gain.as_json(),
            "p_value_of_choice": self.p_value_of_choice,
            "compared": self.compared,
            "really_better": self.really_better,
        }


def choose_score(resampled: Resampled, *, names: Sequence[str] = ALL_SCORES, baseline: str = BASELINE) -> ScoreChoice:
    """Choose the score of lowest AURC and judge the choice against the baseline.

    Args:
        resampled: the selective numbers of all scores, under `SCORE/aurc` (`statistic.joined` names them so),
            from the same draws.
        names: the scores to choose from; an earlier one wins a tie, the baseline any.
        baseline: the score that has to be beaten.
    """
    candidates = [baseline, *(name for name in names if name != baseline)]
    keys = [f"{name}/{CRITERION}" for name in candidates]
    aurc_K = np.array([resampled.values[key] for key in keys])
    aurc_KD = np.stack([resampled.draws_D[key] for key in keys])
    best = int(np.argmax(aurc_K <= aurc_K.min() * (1 + _TIE)))
    return ScoreChoice(
        best=candidates[best],
        baseline=baseline,
        gain=compare(float(aurc_K[0]), aurc_KD[0], float(aurc_K[best]), aurc_KD[best]),
        p_value_of_choice=_reality_check(aurc_K[0] - aurc_K, aurc_KD[0] - aurc_KD, best),
        compared=len(candidates),
    )


def answer(choice: Mapping[str, Any]) -> str:
    """Return in one sentence which score to use, from a choice's JSON form."""
    best, baseline = (_in_words(choice[role]) for role in ("best", "baseline"))
    if choice["best"] == choice["baseline"]:
        return f"Use {baseline}: none of the {choice['compared'] - 1} other scores has a lower AURC."
    gain = f"{choice['gain']['value']:.2g}"
    if choice["p_value_of_choice"] is None:
        return f"Use {baseline}: {best} has the lowest AURC, by {gain}, but without bootstrap draws that may be chance."
    low, high = choice["gain"]["ci95"]
    evidence = (
        f"(95% interval {low:.2g} to {high:.2g}; p = {choice['p_value_of_choice']:.2g}, "
        f"allowing for the choice among {choice['compared']})"
    )
    if choice["really_better"]:
        return f"Use {best}: its AURC is lower than that of {baseline} by {gain} {evidence}."
    return f"Use {baseline}: {best} has a lower AURC by {gain}, but that may be chance {evidence}."


def _reality_check(gain_K: NDArray[np.float64], gain_KD: NDArray[np.float64], best: int) -> float | None:
    """Return the share of draws whose best centred gain reaches that of the chosen, one added above and below.

    The baseline takes part with its gain of 0; where it is chosen itself, every draw reaches it.
    """
    if not gain_KD.shape[1]:
        return None
    luck_D = (gain_KD - gain_K[:, None]).max(axis=0)
    return (1 + int((luck_D >= gain_K[best]).sum())) / (1 + len(luck_D))


def _in_words(name: str) -> str:
    title = next((score.title for score in SCORES if score.name == name), name)
    return title[0].lower() + title[1:]
