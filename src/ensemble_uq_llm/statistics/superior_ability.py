"""Is the best of several really better than a benchmark? Hansen's test for superior predictive ability.

The best of many looks better than the benchmark even where none is. The test asks how often resampling alone would make
the best of them look as good (White's reality check, Econometrica 68(5), 2000), of gains in units of their own standard
errors, so that a noisy alternative does not drown the others, and without those that are clearly worse than the
benchmark, which could only have made it harder to pass (Hansen 2005, J. of Business and Economic Statistics 23:365).
"""

from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-9  # standard errors below this share of the gains' scale are rounding: the alternative is the benchmark


def superior_ability(
    gain_K: NDArray[np.float64], gain_KD: NDArray[np.float64], *, examples: int, scale: float = 1.0
) -> NDArray[np.float64]:
    """Return the one-sided p-value of each of K alternatives, their number accounted for, [K].

    The p-value of an alternative is the share of draws whose largest recentred gain, in standard errors, reaches that
    of the alternative, with one added above and below. The smallest of them is that of Hansen's test (his consistent
    one): that no alternative is better than the benchmark. An alternative that never differs from the benchmark, or
    does not gain, has 1.

    Alternatives are recentred on 0, but on their own gain if it lies below -sqrt(2 log log n) standard errors: such a
    one is worse than the benchmark, and takes no part.

    Args:
        gain_K: by how much each alternative is better than the benchmark.
        gain_KD: the same on draws of the examples; at least one.
        examples: how many of them there are; at least 3.
        scale: how large the compared numbers are: what differs by less than 1e-9 of it does not differ.
    """
    error_K = gain_KD.std(axis=1)
    known_K = error_K > _ROUNDING * scale
    studentised_K = np.divide(gain_K, error_K, out=np.zeros_like(gain_K), where=known_K)
    worse_K = studentised_K <= -sqrt(2 * log(log(examples)))
    # Draws of what is clearly worse stay as far below 0 as they are; all others are moved to have no gain.
    centre_K = np.where(worse_K, 0.0, gain_K)
    luck_KD = np.divide(
        gain_KD - centre_K[:, None], error_K[:, None], out=np.zeros_like(gain_KD), where=known_K[:, None]
    )
    luckiest_D = luck_KD.max(axis=0, initial=0.0)
    reached_K = (luckiest_D >= studentised_K[:, None] - _ROUNDING).sum(axis=1)
    return np.where(studentised_K > 0, (1 + reached_K) / (1 + gain_KD.shape[1]), 1.0)
