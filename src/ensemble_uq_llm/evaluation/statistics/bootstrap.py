"""How far a number would move on another sample of examples: percentile bootstrap intervals.

The examples are resampled, the members are kept: the interval is about this ensemble on more data of this
kind, not about training another one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.statistics.draws import over_draws
from ensemble_uq_llm.evaluation.statistics.statistic import Family, values_of

DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95% interval; None where undefined."""

    value: float | None
    ci95: tuple[float, float] | None
    undefined_draws: int = 0
    """Draws left out of the interval because the value is undefined on them (one class was not drawn)."""

    def as_json(self) -> dict[str, Any]:
        """Return the form that the metrics JSON holds; `undefined_draws` only where there are some."""
        record: dict[str, Any] = {"value": self.value, "ci95": list(self.ci95) if self.ci95 else None}
        return record | ({"undefined_draws": self.undefined_draws} if self.undefined_draws else {})


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A difference between two numbers on the same examples: its value, 95% interval, and p-value."""

    value: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    """Two-sided, of no difference; never below 2 / (draws + 1)."""

    def as_json(self) -> dict[str, Any]:
        """Return the form that the metrics JSON holds."""
        return {"value": self.value, "ci95": list(self.ci95) if self.ci95 else None, "p_value": self.p_value}


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """The numbers of a family on the examples as they are, and on every resampling of them."""

    values: Mapping[str, float]
    """NaN where undefined."""
    draws_D: Mapping[str, NDArray[np.float64]]
    """One value a draw; empty where there were no draws."""

    def estimate(self, name: str, *, centred: bool = False) -> Estimate:
        """Return a number with its 95% percentile interval (Efron and Tibshirani 1993, chapter 13).

        Args:
            name: which number.
            centred: whether it is an error (never below 0) that noise can only raise, so that resampling
                raises it once more: its draws are then shifted to have the value as their mean. Without this
                the value would often lie below its own interval.
        """
        value, draws_D = self.values[name], self.draws_D[name]
        defined_D = draws_D[~np.isnan(draws_D)]
        if centred and defined_D.size:
            defined_D = np.maximum(defined_D - defined_D.mean() + value, 0.0)
        return Estimate(
            value=None if np.isnan(value) else value,
            ci95=_percentiles(defined_D),
            undefined_draws=draws_D.size - defined_D.size,
        )

    def centred(self, names: Collection[str]) -> "Resampled":
        """Return the numbers with the draws of some moved to have the value as their mean, for differences of them.

        Noise raises the draws of a small calibration error more than those of a large one, so that uncentred their
        difference would be shifted against the smaller.
        """
        moved = {
            name: draws_D - np.nanmean(draws_D) + self.values[name] if name in names and draws_D.size else draws_D
            for name, draws_D in self.draws_D.items()
        }
        return Resampled(values=self.values, draws_D=moved)

    def estimates(self, *, centred: Collection[str] = ()) -> dict[str, dict[str, Any]]:
        """Return every number with its interval, as the metrics JSON holds them."""
        return {name: self.estimate(name, centred=name in centred).as_json() for name in self.values}

    def difference(self, name: str, other: str) -> Comparison:
        """Return `name` minus `other`, paired draw by draw."""
        return compare(self.values[name], self.draws_D[name], self.values[other], self.draws_D[other])

    def part(self, family: str) -> "Resampled":
        """Return the numbers of one family of those that were `joined`, by their own names."""
        names = {name.removeprefix(f"{family}/"): name for name in self.values if name.startswith(f"{family}/")}
        return Resampled(
            values={own: self.values[name] for own, name in names.items()},
            draws_D={own: self.draws_D[name] for own, name in names.items()},
        )


def resample(family: Family, *, sizes: Sequence[int], draws: int = DRAWS, seed: int = 0) -> Resampled:
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
    values = values_of(family, sum(sizes))
    if draws == 0 or min(sizes) < 2:
        return Resampled(values=values, draws_D=dict.fromkeys(values, np.empty(0)))

    def work(generators: Sequence[np.random.Generator]) -> Mapping[str, NDArray[np.float64]]:
        return family(_draw_weights(sizes, generators))

    return Resampled(values=values, draws_D=over_draws(work, draws=draws, examples=sum(sizes), seed=seed))


def compare(value: float, draws_D: NDArray[np.float64], other: float, other_draws_D: NDArray[np.float64]) -> Comparison:
    """Return `value - other` with its 95% percentile interval and two-sided p-value.

    The p-value is twice the smaller share of draws on either side of no difference, ties counting on both,
    with one added above and below (Davison and Hinkley 1997, eq. 4.13): an inverted percentile interval.

    Args:
        value: the one number.
        draws_D: its draws; paired with those of the other where both come from the same examples.
        other: the other number.
        other_draws_D: its draws.
    """
    difference = value - other
    differences_D = draws_D - other_draws_D
    defined_D = differences_D[~np.isnan(differences_D)]
    p_value = None
    if defined_D.size and not np.isnan(difference):
        fewer = min(int((defined_D <= 0).sum()), int((defined_D >= 0).sum()))
        p_value = min(1.0, 2 * (fewer + 1) / (defined_D.size + 1))
    return Comparison(value=None if np.isnan(difference) else difference, ci95=_percentiles(defined_D), p_value=p_value)


def _percentiles(values_D: NDArray[np.float64]) -> tuple[float, float] | None:
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
