"""How well uncertainty tells another set from the one that the ensemble was made for.

Every score is measured, but one alone is judged, chosen by the number of members before any data are seen: the best
of nine looks like something even on data of the same distribution. The score to abstain by is not the one, even where
a calibration split has chosen it: that was for finding mistakes, which are mostly noise in the labels.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.records import Detection, Seen, Shift
from ensemble_uq_llm.evaluation.scores import Quantity, scores_to_rank
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
from ensemble_uq_llm.statistics.bootstrap import resample_together
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate
from ensemble_uq_llm.statistics.rank_sum import rank_sum_p
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, SIGNIFICANCE_LEVEL, holm
from ensemble_uq_llm.statistics.statistic import Family, Ranking

ENOUGH_TO_DISAGREE: Final = 4
"""Of fewer members the mutual information is known too roughly: one model's entropy finds other data better."""


def detection_score(members: int) -> str:
    """Return the score by which a set is told from the reference: of four members on what they disagree on."""
    return "mutual_information" if members >= ENOUGH_TO_DISAGREE else "entropy"


def measure_shift(
    shifted: Uncertainty,
    reference: Uncertainty,
    *,
    members: int,
    name: str,
    change: Mapping[str, Comparison],
    draws: int,
    seed: int,
) -> Shift:
    """Return how well every score tells the shifted examples from those of the reference.

    The judgement is that of a single comparison; `judge_together` allows for others beside it.

    Args:
        shifted: of the set that may differ.
        reference: of the set that the ensemble was made for, its members and classes being the same.
        members: how many there are in both.
        name: what the reference is called.
        change: how much worse the shifted set is answered, by metric; empty where that is unknown.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    ours, theirs = scores_to_rank(shifted, reference)
    sizes = [len(each.prediction_N) for each in (shifted, reference)]
    families = {score: separation_family(ours[score], theirs[score]) for score in ours}
    resampled = resample_together(families, sizes=sizes, draws=draws, seed=seed)
    numbers = {
        quantity.name: {score: each.estimate(quantity.name) for score, each in resampled.items()}
        for quantity in DETECTION_NUMBERS
    }
    chosen = detection_score(members)
    auroc, p_value = numbers["auroc"][chosen], None
    if min(sizes) >= FEWEST_EXAMPLES:
        p_value = rank_sum_p(_ranking(ours[chosen], theirs[chosen]))
    detection = Detection(score=chosen, auroc=auroc, p_value=p_value, p_holm=p_value, seen=_seen(auroc, p_value))
    return Shift(reference=name, numbers=numbers, detection=detection, change=dict(change))


def judge_together(shifts: Mapping[str, Shift]) -> dict[str, Shift]:
    """Return the sets compared with one reference, judged so that chance finds any of them in one case of twenty."""
    p_values = {name: each.detection.p_value for name, each in shifts.items()}
    known = {name: p_value for name, p_value in p_values.items() if p_value is not None}
    p_holm = dict(zip(known, holm(list(known.values())), strict=True))

    def judged(name: str, detection: Detection) -> Detection:
        adjusted = p_holm.get(name)
        return replace(detection, p_holm=adjusted, seen=_seen(detection.auroc, adjusted))

    return {name: replace(each, detection=judged(name, each.detection)) for name, each in shifts.items()}


def _seen(auroc: Estimate, p_value: float | None) -> Seen:
    """Return what may be said: a difference only where 0.5 is outside of the interval, and the test agrees."""
    if p_value is None:
        return "too_few"
    low, high = auroc.ci95 or (0.0, 1.0)
    if p_value >= SIGNIFICANCE_LEVEL or low <= 0.5 <= high:
        return "unclear"
    return "less_sure" if low > 0.5 else "surer"


def _ranking(shifted_S: NDArray[np.float64], reference_R: NDArray[np.float64]) -> Ranking:
    scores_N = np.concatenate([shifted_S, reference_R])
    return Ranking.ascending(scores_N, np.arange(len(scores_N)) < len(shifted_S))


def separation_family(shifted_S: NDArray[np.float64], reference_R: NDArray[np.float64]) -> Family[str]:
    """Return the numbers of `DETECTION_NUMBERS` for one score, all from one ranking.

    Weights are those of the shifted examples followed by those of the reference (the in-distribution set).
    `auroc`: P(score of a shifted example > of a reference one), ties counting half: 0.5 says that the score does
    not see the shift, 1 that every shifted example has more of it.
    `aupr_out`, `aupr_in`: average precision with the shifted examples as positives, found from the highest score
    down, or the reference ones, from the lowest up (Hendrycks and Gimpel 2017, arXiv:1610.02136). What chance
    gives is the positives' share of the examples.
    `fpr95`: share of the shifted examples that pass as in-distribution at the strictest threshold that lets at
    least 95% of the reference pass: the false positive rate at 95% true positive rate of Liang et al. 2018
    (arXiv:1706.02690), whose positive class is in-distribution. Equal scores pass together, so a score with many
    ties pays for it.

    Args:
        shifted_S: the shifted examples' scores; at least one.
        reference_R: the reference examples' scores; at least one.
    """
    ranking = _ranking(shifted_S, reference_R)

    def family(weights_DN: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        tally = ranking.tally(weights_DN)
        passed_DG = tally.all_up_to_DG - tally.positive_up_to_DG
        reference_D, shifted_D = passed_DG[:, -1], tally.positives_D
        # In whole numbers, so that no rounding decides where 95% are reached.
        at = (np.arange(len(shifted_D)), (passed_DG >= np.ceil(95 * reference_D / 100)[:, None]).argmax(axis=1))
        precision_DG = passed_DG / np.maximum(tally.all_up_to_DG, 1.0)  # nothing called means nothing found
        return {
            "auroc": tally.roc_area(),
            "aupr_in": np.vecdot(tally.all_DG - tally.positive_DG, precision_DG) / reference_D,
            "aupr_out": tally.average_precision(),
            "fpr95": tally.positive_up_to_DG[at] / shifted_D,
        }

    return family


DETECTION_NUMBERS = (
    Quantity(name="auroc", title="AUROC", format=".3f", higher_is_better=True),
    Quantity(name="aupr_in", title="AUPR-in", format=".3f", higher_is_better=True),
    Quantity(name="aupr_out", title="AUPR-out", format=".3f", higher_is_better=True),
    Quantity(name="fpr95", title="FPR at 95% TPR", format=".1%", higher_is_better=False),
)
