"""Paired differences over training sets: the interval, exact sign flips, and Holm's adjustment.

The unit is the training set: the rows of one test set share its luck, so their number says nothing of how another
training set would come out. With S sets there are S differences, and that is all the evidence there is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import atan, cos, inf, pi, sin, sqrt, tan
from typing import Final, TypeVar

import numpy as np

from ensemble_uq_llm.statistics.significance import SIGNIFICANCE_LEVEL, holm

Key = TypeVar("Key")
MOST_FLIPPED: Final = 16
"""Sets up to which every pattern of signs is tried; more would be 2^17 patterns for a p-value far below any level."""

FEWEST_SETS: Final = 5
"""Below so many training sets there is no verdict: two that come out alike by luck look sure to Student's t."""

_STEPS: Final = 200  # of bisection, more than a float has digits


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean of paired differences over training sets, and how sure it is."""

    mean: float
    sets: int
    ci95: tuple[float, float] | None
    """Student's t; None of fewer than two sets."""
    p_value: float | None
    """Two-sided, of the same t."""
    p_flips: float | None
    """Two-sided, exact: how many patterns of signs give a mean at least as far from 0. Never below 2 / 2^sets."""
    p_holm: float | None = None
    """The t's, adjusted for the number of makers compared."""

    @property
    def shows(self) -> bool:
        """Whether the interval excludes 0 after Holm's adjustment; never of fewer than `FEWEST_SETS`."""
        return self.sets >= FEWEST_SETS and self.p_holm is not None and self.p_holm < SIGNIFICANCE_LEVEL


def paired(differences: Sequence[float]) -> Difference:
    """Return the mean of one difference a training set, with its interval and p-values."""
    values = np.asarray(differences, dtype=np.float64)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Difference(mean=mean, sets=n, ci95=None, p_value=None, p_flips=None)
    error = float(values.std(ddof=1)) / sqrt(n)
    reach = t_quantile(1 - SIGNIFICANCE_LEVEL / 2, n - 1) * error
    t = mean / error if error > 0 else 0.0 if mean == 0 else inf
    return Difference(
        mean=mean,
        sets=n,
        ci95=(mean - reach, mean + reach),
        p_value=2 * (1 - t_distribution(abs(t), n - 1)),
        p_flips=sign_flips(values.tolist()),
    )


def with_holm(compared: Mapping[Key, Difference]) -> dict[Key, Difference]:
    """Return differences of one family, their p-values adjusted for being several."""
    tested = {key: each.p_value for key, each in compared.items() if each.p_value is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {key: replace(each, p_holm=adjusted.get(key)) for key, each in compared.items()}


def sign_flips(differences: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Fisher's test by flipping signs; None of more than `MOST_FLIPPED` sets."""
    if len(differences) > MOST_FLIPPED:
        return None
    signs_PN = np.array(list(product((1.0, -1.0), repeat=len(differences))))
    sums_P = np.abs(signs_PN @ np.asarray(differences, dtype=np.float64))
    return float((sums_P >= sums_P[0] * (1 - 1e-12)).mean())


def t_distribution(t: float, degrees: int) -> float:
    """Return P(T <= t) of Student's t with a whole number of degrees of freedom (Abramowitz and Stegun 26.7.3, .4)."""
    angle = pi / 2 if t == inf else atan(t / sqrt(degrees))
    odd = degrees % 2 == 1
    term, total = (cos(angle), 0.0) if odd else (1.0, 0.0)
    for k in range(1 if odd else 0, degrees - 1, 2):
        total += term
        term *= cos(angle) ** 2 * (k + 1) / (k + 2)
    middle = 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
    return (1 + middle) / 2


def t_quantile(probability: float, degrees: int) -> float:
    """Return t with P(T <= t) = probability above one half, by bisection over its angle."""
    low, high = 0.0, pi / 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = t_distribution(sqrt(degrees) * tan(middle), degrees) < probability
        low, high = (middle, high) if below else (low, middle)
    return sqrt(degrees) * tan((low + high) / 2)
