"""Is a difference more than chance: the exact test on paired answers, and the price of asking many questions."""

from collections.abc import Sequence
from typing import Final

import numpy as np

SIGNIFICANCE_LEVEL: Final = 0.05
"""The p-value below which a difference counts as more than chance."""

FEWEST_EXAMPLES: Final = 20
"""Below so many examples nothing is said of a difference: no p-value, no verdict."""


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of the exact McNemar test: are A and B right equally often?

    The examples that only one of them answers correctly are coin tosses under the null hypothesis; 1 where there
    are none. Source: McNemar 1947; the exact form is the binomial (sign) test.

    Args:
        only_a: examples that A answers correctly and B does not.
        only_b: the other way round.
    """
    tosses, fewer = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    # log of "n choose k" for k = 0 ... fewer, each from the one before: powers of 1/2 would vanish beyond 1,074.
    k = np.arange(1, fewer + 1)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((tosses - k + 1) / k))])
    log_tail = np.logaddexp.reduce(log_choose) - tosses * np.log(2.0)
    return min(1.0, float(2 * np.exp(log_tail)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being several, each at most 1, in the order given.

    Calling what is below 0.05 afterwards errs anywhere with a probability of at most 5%, however the tests depend
    on each other. Source: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    p_T = np.asarray(p_values, dtype=np.float64)
    order_T = np.argsort(p_T, kind="stable")
    stepped_T = np.maximum.accumulate(p_T[order_T] * np.arange(len(p_T), 0, -1))
    adjusted_T = np.empty_like(p_T)
    adjusted_T[order_T] = np.minimum(stepped_T, 1.0)
    return adjusted_T.tolist()
