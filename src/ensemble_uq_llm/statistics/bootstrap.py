"""How far a number on these examples may be from that on all examples of their kind: percentile bootstrap intervals.

The examples are resampled, the members are held fixed: the interval is about this ensemble, not about training another
one. It is a confidence interval; where the number will lie on another such sample is less sure, by a factor of about
sqrt(2).
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.statistics import ties
from ensemble_uq_llm.statistics.draws import over_draws
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate, Interval
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, sign_flip_limit
from ensemble_uq_llm.statistics.statistic import Family, Key, values_of
from ensemble_uq_llm.utils.text import clipped

DRAWS: Final = 1000
"""How many draws there are by default."""

Name = TypeVar("Name", bound=Hashable)


def check_resampling(*, draws: int, seed: int) -> None:
    """Raise ConfigError where a caller asks for a number of draws, or a seed, that cannot be."""
    for name, value in (("draws", draws), ("seed", seed)):
        if not isinstance(value, int | np.integer) or value < 0:
            raise ConfigError(f"{name}: must be a whole number of at least 0, found {clipped(value)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled(Generic[Key]):
    """The numbers of a family on the examples as they are, and on every resampling of them."""

    values: Mapping[Key, float]
    """NaN where undefined."""
    draws_D: Mapping[Key, NDArray[np.float64]]
    """One value a draw; empty where there were no draws."""
    examples: int
    """How many there are; of several groups, in the smallest."""

    def estimate(self, key: Key, *, centred: bool = False) -> Estimate:
        """Return a number with its 95% percentile interval (Efron and Tibshirani 1993, chapter 13).

        Args:
            key: which number.
            centred: whether it is an error (never below 0) that noise can only raise, so that resampling
                raises it once more: its draws are then shifted to have the value as their mean. Without this
                the value would often lie below its own interval.
        """
        value, draws_D = self.values[key], self.draws_D[key]
        defined_D = draws_D[~np.isnan(draws_D)]
        if centred and defined_D.size:
            defined_D = np.maximum(defined_D - defined_D.mean() + value, 0.0)
        return Estimate(
            value=None if np.isnan(value) else value,
            ci95=_percentiles(defined_D),
            undefined_draws=draws_D.size - defined_D.size,
        )

    def estimates(self, *, centred: Collection[Key] = ()) -> dict[Key, Estimate]:
        """Return every number with its interval."""
        return {key: self.estimate(key, centred=key in centred) for key in self.values}


def resample(family: Family[Key], *, sizes: Sequence[int], draws: int = DRAWS, seed: int = 0) -> Resampled[Key]:
    """Return a family's numbers on the examples and on `draws` resamplings of them.

    The draws depend on sizes, draws and seed alone, so that numbers of two calls with the same three are
    paired draw by draw. A set of a single example is not resampled.

    Args:
        family: the numbers; called from several threads at once.
        sizes: the numbers of examples of each group; groups lie one after the other and are resampled each
            within itself (one group unless sets are compared).
        draws: the number of resamplings.
        seed: of the resampling.
    """
    return resample_together({None: family}, sizes=sizes, draws=draws, seed=seed)[None]


def resample_together(
    families: Mapping[Name, Family[Key]], *, sizes: Sequence[int], draws: int = DRAWS, seed: int = 0
) -> dict[Name, Resampled[Key]]:
    """Return what `resample` does of each of several families, in one pass over the draws: every draw is made once."""
    values = {name: values_of(family, sum(sizes)) for name, family in families.items()}
    examples = min(sizes)
    if draws == 0 or examples < 2:
        return {
            name: Resampled(values=own, draws_D=dict.fromkeys(own, np.empty(0)), examples=examples)
            for name, own in values.items()
        }

    def work(generators: Sequence[np.random.Generator]) -> Mapping[tuple[Name, Key], NDArray[np.float64]]:
        weights_DN = _draw_weights(sizes, generators)
        return {
            (name, key): values_D for name, family in families.items() for key, values_D in family(weights_DN).items()
        }

    draws_D = over_draws(work, draws=draws, examples=sum(sizes), seed=seed)
    return {
        name: Resampled(values=own, draws_D={key: draws_D[name, key] for key in own}, examples=examples)
        for name, own in values.items()
    }


def compare(
    value: float,
    draws_D: NDArray[np.float64],
    other: float,
    other_draws_D: NDArray[np.float64],
    *,
    examples: int,
    differing: int | None = None,
) -> Comparison:
    """Return `value - other` with its 95% percentile interval and two-sided p-value.

    The p-value is twice the smaller share of draws on either side of no difference, ties counting on both,
    with one added above and below (Davison and Hinkley 1997, eq. 4.13): an inverted percentile interval. It is never
    below the limit of `sign_flip_limit`, and there is none below `FEWEST_EXAMPLES`.

    Args:
        value: the one number.
        draws_D: its draws; paired with those of the other where both come from the same examples.
        other: the other number.
        other_draws_D: its draws.
        examples: how many there are; of two unpaired sets, in the smaller.
        differing: how many of them differ at all between the two sides; None for all.
    """
    difference = float(ties.difference(value, other))
    differences_D = ties.difference(draws_D, other_draws_D)
    defined_D = differences_D[~np.isnan(differences_D)]
    p_value, at_floor = None, False
    if defined_D.size and not np.isnan(difference) and examples >= FEWEST_EXAMPLES:
        fewer = min(int((defined_D <= 0).sum()), int((defined_D >= 0).sum()))
        of_draws = 2 * (fewer + 1) / (defined_D.size + 1)
        limit = sign_flip_limit(examples if differing is None else differing)
        p_value = min(1.0, max(of_draws, limit))
        at_floor = fewer == 0 and limit <= of_draws < 1
    return Comparison(
        value=None if np.isnan(difference) else difference,
        ci95=_percentiles(defined_D),
        p_value=p_value,
        at_floor=at_floor,
    )


def _percentiles(values_D: NDArray[np.float64]) -> Interval | None:
    if not values_D.size:
        return None
    low, high = np.percentile(values_D, [2.5, 97.5]).tolist()
    return low, high


def _draw_weights(sizes: Sequence[int], generators: Sequence[np.random.Generator]) -> NDArray[np.float64]:
    """Return how often each example was drawn, [D, N]."""
    weights_DN = np.empty((len(generators), sum(sizes)))
    for weights_N, rng in zip(weights_DN, generators, strict=True):
        counts = [np.bincount(rng.integers(size, size=size), minlength=size) for size in sizes]
        weights_N[:] = np.concatenate(counts)
    return weights_DN
