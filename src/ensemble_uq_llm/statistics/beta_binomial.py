"""The beta-binomial distribution: successes among trials whose common probability is itself beta distributed."""

import numpy as np
from numpy.typing import NDArray


def beta_binomial(trials: int, a: float, b: float) -> NDArray[np.float64]:
    """Return the probability of 0, 1, ... successes in so many trials, [trials + 1].

    Each is made from the one before, P(x + 1) / P(x) = (n - x)(x + a) / ((x + 1)(n - x - 1 + b)), in logarithms, and
    their sum is 1: no function of large arguments takes part, so the digits last for a million trials.

    Args:
        trials: how many; at least 0.
        a: of the beta distribution of the success probability; above 0.
        b: of it, too; above 0.

    Raises:
        ValueError: there can be no such distribution.
    """
    if trials < 0 or a <= 0 or b <= 0:
        raise ValueError(
            f"{trials} trials with a = {a} and b = {b} are impossible; give at least 0, and a and b above 0"
        )
    x = np.arange(trials, dtype=np.float64)
    steps = np.log(trials - x) + np.log(x + a) - np.log(x + 1) - np.log(trials - x - 1 + b)
    log_weights = np.concatenate([[0.0], np.cumsum(steps)])
    weights: NDArray[np.float64] = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def central_range(trials: int, a: float, b: float, *, outside: float) -> tuple[int, int]:
    """Return the fewest and the most successes of which neither fewer nor more are rare.

    Args:
        trials: how many.
        a: of the beta distribution.
        b: of it, too.
        outside: the probability of fewer than the first, and of more than the second, that is not exceeded by either;
            below one half.
    """
    probabilities = beta_binomial(trials, a, b)
    at_most, at_least = np.cumsum(probabilities), np.cumsum(probabilities[::-1])[::-1]
    # The first number that is not rare from below, and the last that is not rare from above.
    return int((at_most > outside).argmax()), trials - int((at_least[::-1] > outside).argmax())
