"""The binomial distribution, k successes in n independent trials: 95% intervals of a share, and exact tails."""

from functools import lru_cache
from math import exp, lgamma, log, log1p, sqrt
from statistics import NormalDist

_TAIL = 0.025
_Z = NormalDist().inv_cdf(1 - _TAIL)
_TINY = 1e-300  # stands for a zero that would be divided by (Lentz)


def clopper_pearson(successes: int, trials: int) -> tuple[float, float]:
    """Return the exact 95% interval of a share (Clopper and Pearson 1934, Biometrika 26:404).

    It covers the true share in at least 95% of samples, whatever the share is; exact to 1e-9 for up to a million
    trials. Without trials it is (0, 1).

    Raises:
        ValueError: there are fewer trials than successes, or fewer than none.
    """
    _check(successes, trials)
    failures = trials - successes
    low = _beta_quantile(_TAIL, successes, failures + 1) if successes else 0.0
    high = 1.0 - _beta_quantile(_TAIL, failures, successes + 1) if failures else 1.0
    return low, high


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """Return the 95% score interval of a share (Wilson 1927, JASA 22:209).

    Its coverage is about 95% on average; it is narrower than the exact one. Without trials it is (0, 1).

    Raises:
        ValueError: there are fewer trials than successes, or fewer than none.
    """
    _check(successes, trials)
    if trials == 0:
        return 0.0, 1.0
    share, spread = successes / trials, _Z**2 / trials
    middle = (share + spread / 2) / (1 + spread)
    reach = _Z / (1 + spread) * sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, middle - reach), min(1.0, middle + reach)


@lru_cache(maxsize=1 << 16)  # simulations ask the same again and again
def at_most(successes: int, trials: int, share: float) -> float:
    """Return the probability of so many successes or fewer, where a share of all trials succeeds.

    It is I_(1 - share)(trials - successes, successes + 1), the regularised incomplete beta function (NIST DLMF 8.17.5).

    Raises:
        ValueError: there are fewer trials than successes, or fewer than none; or the share is not between 0 and 1.
    """
    _check(successes, trials)
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} is impossible; give one above 0 and below 1")
    if successes == trials:
        return 1.0
    return min(1.0, _beta_distribution(1 - share, trials - successes, successes + 1)[0])


def at_least(successes: int, trials: int, share: float) -> float:
    """Return the probability of so many successes or more.

    Raises:
        ValueError: as `at_most`.
    """
    _check(successes, trials)
    return at_most(trials - successes, trials, 1 - share)


def _check(successes: float, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials are impossible; give 0 to {trials} of them")


def _beta_quantile(probability: float, a: float, b: float) -> float:
    """Return x with I_x(a, b) = probability: Newton's steps on the function, bisection where they leave the bracket."""
    low, high, x = 0.0, 1.0, a / (a + b)
    while True:
        below, density = _beta_distribution(x, a, b)
        low, high = (x, high) if below < probability else (low, x)
        newton = x - (below - probability) / density if density else -1.0
        following = newton if low < newton < high else (low + high) / 2
        if abs(following - x) <= 1e-13 * x:
            return following
        x = following


def _beta_distribution(x: float, a: float, b: float) -> tuple[float, float]:
    """Return the beta distribution's function I_x(a, b) and its density at 0 < x < 1."""
    log_density = (a - 1) * log(x) + (b - 1) * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)
    density = exp(log_density)
    factor = density * x * (1 - x)
    # The fraction converges quickly on the side of the mean where the function is small.
    if x < (a + 1) / (a + b + 2):
        return factor / (a * _continued_fraction(x, a, b)), density
    return 1 - factor / (b * _continued_fraction(1 - x, b, a)), density


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Return 1 + d_1/(1 + d_2/(1 + ...)) of the incomplete beta function (NIST DLMF 8.17.22), by Lentz's method."""
    value, above, below = 1.0, 1.0, 0.0
    step, ratio = 0, 0.0
    while abs(ratio - 1) > 1e-14:
        step += 1
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        below = 1 / ((1 + term * below) or _TINY)
        above = (1 + term / above) or _TINY
        ratio = above * below
        value *= ratio
    return value
