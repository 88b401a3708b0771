"""How far a number would move on another sample of examples: percentile bootstrap intervals.

The examples are resampled, the members are kept: the interval is about this ensemble on more data of this
kind, not about training another one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.inference.statistic import Statistic, value_of

DRAWS = 1000

_CHUNK = 2**20  # weights held at once: 8 MiB, so the arrays of a chunk stay near the cache


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


def bootstrap(
    statistics: Mapping[str, Statistic],
    *,
    sizes: Sequence[int],
    draws: int = DRAWS,
    rng: np.random.Generator,
    centred: Collection[str] = (),
) -> dict[str, Estimate]:
    """Return every statistic's value and 95% percentile interval, all from the same draws.

    Efron and Tibshirani 1993, chapter 13. A statistic of a single example, or without draws, has no interval.

    Args:
        statistics: the statistics by name, all of the same examples.
        sizes: the numbers of examples of each group; groups lie one after the other and are resampled each
            within itself (one group unless sets are compared).
        draws: the number of resamplings.
        rng: the source of all randomness; one draw after the other is taken from it.
        centred: names of errors (never below 0) that noise can only raise, so that resampling raises them once
            more: their draws are shifted to have the value as their mean. Without this the value would often
            lie below its own interval.
    """
    examples = sum(sizes)
    values_D: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    chunk = max(1, _CHUNK // examples)
    for start in range(0, draws if min(sizes) > 1 else 0, chunk):
        weights_DN = _draw_weights(sizes, min(chunk, draws - start), rng)
        for name, statistic in statistics.items():
            values_D[name].append(statistic(weights_DN))
    return {
        name: _estimate(
            value_of(statistic, examples),
            np.concatenate(values_D[name] or [np.empty(0)]),
            centred=name in centred,
        )
        for name, statistic in statistics.items()
    }


def _draw_weights(sizes: Sequence[int], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each example was drawn, [D, N]."""
    weights_DN = np.empty((draws, sum(sizes)))
    for weights_N in weights_DN:
        counts = [np.bincount(rng.integers(size, size=size), minlength=size) for size in sizes]
        weights_N[:] = np.concatenate(counts)
    return weights_DN


def _estimate(value: float, values_D: NDArray[np.float64], *, centred: bool) -> Estimate:
    defined_D = values_D[~np.isnan(values_D)]
    if centred and defined_D.size:
        defined_D = np.maximum(defined_D - defined_D.mean() + value, 0.0)
    low_high = np.percentile(defined_D, [2.5, 97.5]).tolist() if defined_D.size else None
    return Estimate(
        value=None if np.isnan(value) else value,
        ci95=(low_high[0], low_high[1]) if low_high else None,
        undefined_draws=values_D.size - defined_D.size,
    )
