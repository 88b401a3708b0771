"""Is a promise kept? What calibrating on few examples and testing on few leave to chance: of a conformal rule, a risk.

A rule that is made correctly, on n calibration examples, covers a share of all examples that is itself drawn from
Beta(k, n + 1 - k), k being the rank of its threshold (Vovk 2012, arXiv:1209.2673; Angelopoulos and Bates 2021,
arXiv:2107.07511, section 3.2). Of N test examples it therefore covers a beta-binomial number. Only a number that is
rare in that distribution speaks against the rule; an interval of the coverage alone blames the rule for its luck.
"""

from collections.abc import Sequence
from math import ceil

from ensemble_uq_llm.evaluation.records import Promise, PromiseVerdict
from ensemble_uq_llm.statistics.beta_binomial import central_range
from ensemble_uq_llm.statistics.binomial import at_least
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, SIGNIFICANCE_LEVEL

_ROUNDING = 1e-9  # so that 0.9 * 30, which is a little more than 27 in binary, asks for the 27th score


def threshold_rank(examples: int, level: float) -> int:
    """Return which of the calibration examples' scores, in rising order, is the threshold: ceil((n + 1) * level).

    One more than there are examples says that they are too few for the level.
    """
    return ceil((examples + 1) * level - _ROUNDING)


def judge(covered: int, trials: int, *, level: float, calibrated: int, tied: bool, judgements: int = 1) -> Promise:
    """Return whether so many covered test examples speak against a rule for all of them, or for one class.

    `missed` and `exceeded` are each said of a correct rule with a probability of at most 2.5%. Where scores tie at the
    threshold, sets hold more than was asked for, so that exceeding is no fault. It `cannot be told` below 20 test
    examples, and where not even a single covered example would be rare.

    Args:
        covered: the test examples whose set holds the label.
        trials: the test examples.
        level: the promised coverage.
        calibrated: the calibration examples that the threshold is from.
        tied: whether several of those have the threshold as their score.
        judgements: how many are made of one rule, one a class: each is stricter then, so that all of them together
            err as rarely (Bonferroni).
    """
    if not trials:
        return Promise(verdict="cannot be told", expected95=None)
    rank = threshold_rank(calibrated, level)
    if rank > calibrated:
        return Promise(verdict="kept", expected95=(1.0, 1.0))  # every set holds every class
    outside = SIGNIFICANCE_LEVEL / 2 / judgements
    low, high = central_range(trials, rank, calibrated + 1 - rank, outside=outside)
    expected = (low / trials, 1.0 if tied else high / trials)
    if trials < FEWEST_EXAMPLES or low == 0:
        return Promise(verdict="cannot be told", expected95=expected)
    if covered < low:
        return Promise(verdict="missed", expected95=expected)
    return Promise(verdict="exceeded" if covered > high and not tied else "kept", expected95=expected)


def overall(of_classes: Sequence[Promise]) -> Promise:
    """Return the judgement of a rule that promises the level for every class: missed where it is missed for one."""
    verdicts = {each.verdict for each in of_classes}
    worst_first: tuple[PromiseVerdict, ...] = ("missed", "exceeded", "kept", "cannot be told")
    return Promise(verdict=next(each for each in worst_first if each in verdicts), expected95=None)


def judge_risk(wrong: int, answered: int, *, target_risk: float, judgements: int = 1) -> PromiseVerdict:
    """Return whether so many wrong answers of other rows speak against a promise of at most `target_risk`.

    `missed` is said of a kept promise with a probability of at most 2.5%, and it `cannot be told` below 20 answered
    rows. A promise with a confidence of 90% may be missed once in ten calibration sets: that is no fault of its making.

    Args:
        wrong: the wrong answers.
        answered: the rows that were answered.
        target_risk: the promise.
        judgements: how many are made together, one a group (Bonferroni).
    """
    if answered < FEWEST_EXAMPLES:
        return "cannot be told"
    rare = at_least(wrong, answered, target_risk) <= SIGNIFICANCE_LEVEL / 2 / judgements
    return "missed" if rare else "kept"
