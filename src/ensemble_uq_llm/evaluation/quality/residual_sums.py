"""Calibration errors as functions of sums of residuals, whose noise is known.

A residual is the probability of an event minus whether it happened. Every calibration error adds residuals up in
cells H (a bin, or a class and a bin, or a point of a grid) and takes a size of these sums. The sum of a cell has its
expectation from the cell's true gap and its variance from the probabilities, so the error of any assumed truth can be
drawn: that is what `true_error` needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.calibration import (
    Bins,
    Forecast,
    LogProbs,
    confidence_bin,
    equal_mass_bin,
    of_each_class,
    top_label,
)
from ensemble_uq_llm.evaluation.quality.smooth_ece import COARSE, coarse_error

_BLOCK = 64  # draws whose multipliers are held at once
_PRIOR = 10.0  # examples of no gap that are added to every group: the gap of a single example says nothing
_CERTAIN = 0.01  # variance of a sum whose probabilities are 0 and 1: they may be wrong all the same
_LEAST = 0.25  # of its noise that a group's gap is assumed to be at least, so that the assumed truths can grow

Shape: TypeAlias = Literal["spread", "concentrated"]
"""How an assumed truth spreads its error over the groups: over all of them, or only where it was observed beyond noise.
The same error raises the observed one more where it lies in few groups, for noise adds to all others in full."""

SHAPES: Final[tuple[Shape, ...]] = ("spread", "concentrated")

_NOISE_VARIANCES: Final[dict[Shape, float]] = {"spread": 1.0, "concentrated": -5.0}  # added to the square of a sum

Norm = Callable[[NDArray[np.float64], "ResidualSums"], NDArray[np.float64]]
"""From sums [D, H] to the error of every draw."""


@dataclass(frozen=True, kw_only=True)
class Summed:
    """What makes a calibration error one of residual sums."""

    sums: Callable[[LogProbs, NDArray[np.int64]], "ResidualSums"]
    norm: Norm
    degree: int = 1
    """The power by which the error grows with the gaps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ResidualSums:
    """The residuals of a predictor, summed over cells H."""

    n: int
    """Examples; each may lie in several cells, one an event."""
    n_H: NDArray[np.float64]
    expected_H: NDArray[np.float64]
    """The sum of the probabilities."""
    variance_H: NDArray[np.float64]
    """The variance of the sum of residuals, if the probabilities are right."""
    sums_H: NDArray[np.float64]
    """The sum of the residuals as they are."""
    group_H: NDArray[np.intp]
    """Cells of one group are assumed to have one gap."""
    position_H: NDArray[np.intp]
    """The cell's number among all, the empty ones included."""
    residual_EN: NDArray[np.float64]
    cell_EN: NDArray[np.intp]
    possible_EN: NDArray[np.bool_]
    """Where the event can happen; elsewhere the residual is 0, and the cell any of the event's."""

    def gap_H(self, scale: float, shape: Shape) -> NDArray[np.float64]:
        """Return the mean gap of every cell in an assumed truth: the gaps that were observed, smoothed and scaled.

        Where probability minus gap would leave 0 to 1, the gap is taken to the other side.
        """
        cells = (self.n_H, self.sums_H, self.variance_H)
        n_G, sums_G, variance_G = (np.bincount(self.group_H, each).astype(np.float64) for each in cells)
        variance_G += _CERTAIN
        square_G = sums_G**2 + _NOISE_VARIANCES[shape] * variance_G
        size_G = scale * np.sqrt(np.maximum(square_G, _LEAST**2 * variance_G)) / (n_G + _PRIOR)
        # A spread error is one of too much or too little confidence, which smoothing does not cancel.
        over_G = sums_G >= 0 if shape == "concentrated" else np.full(len(sums_G), sums_G.sum() >= 0)
        size_H, over_H = size_G[self.group_H], over_G[self.group_H]
        room_over_H = self.expected_H / self.n_H
        room_under_H = 1 - room_over_H
        over_H = np.where(over_H, (size_H <= room_over_H) | (room_over_H >= room_under_H), size_H > room_under_H)
        over_H &= (size_H <= room_over_H) | (room_over_H >= room_under_H)
        return np.where(over_H, np.minimum(size_H, room_over_H), -np.minimum(size_H, room_under_H))

    def drawn(self, gap_H: NDArray[np.float64], noise_DH: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of residuals where these are the true gaps."""
        # The variance of the labels, and of how many examples fall into the cell.
        variance_H = self.variance_H - gap_H * (self.n_H - 2 * self.expected_H)
        return self.n_H * gap_H + np.sqrt(np.maximum(variance_H, 0.0)) * noise_DH


def by_confidence(log_probs_NC: LogProbs, labels_N: NDArray[np.int64]) -> ResidualSums:
    """Return the sums of `ece`."""
    forecast = top_label(log_probs_NC)
    return _summed([forecast], labels_N, [confidence_bin(forecast.probability_N)])


def by_mass(log_probs_NC: LogProbs, labels_N: NDArray[np.int64]) -> ResidualSums:
    """Return the sums of `equal_mass_ece`."""
    forecast = top_label(log_probs_NC)
    return _summed([forecast], labels_N, [equal_mass_bin(forecast.probability_N)])


def on_grid(log_probs_NC: LogProbs, labels_N: NDArray[np.int64]) -> ResidualSums:
    """Return the sums of `smooth_ece`: at the points of a grid, with one gap for a fifteenth of the examples."""
    forecast = top_label(log_probs_NC)
    point_N = np.minimum((forecast.probability_N * COARSE).astype(np.intp), COARSE - 1)
    return _summed([forecast], labels_N, [point_N], group_N=equal_mass_bin(forecast.probability_N))


def by_class(log_probs_NC: LogProbs, labels_N: NDArray[np.int64]) -> ResidualSums:
    """Return the sums of `classwise_ece` and `brier_reliability`; of two classes those of class 1 alone."""
    forecasts = of_each_class(log_probs_NC)
    return _summed(forecasts, labels_N, [confidence_bin(each.probability_N) for each in forecasts])


def absolute(sums_DH: NDArray[np.float64], of: ResidualSums) -> NDArray[np.float64]:
    """Return the mean over examples and their possible events of the absolute gaps."""
    size_D: NDArray[np.float64] = np.abs(sums_DH).sum(axis=1) / int(of.possible_EN.sum())
    return size_D


def squared(sums_DH: NDArray[np.float64], of: ResidualSums) -> NDArray[np.float64]:
    """Return the sum over events of the mean squared gap."""
    size_D: NDArray[np.float64] = (sums_DH**2 / of.n_H).sum(axis=1) / of.n
    return size_D


def smoothed(sums_DH: NDArray[np.float64], of: ResidualSums) -> NDArray[np.float64]:
    """Return the smooth calibration error."""
    grid_DG = np.zeros((len(sums_DH), COARSE))
    grid_DG[:, of.position_H] = sums_DH / of.n
    return coarse_error(grid_DG)


def _summed(
    forecasts: Sequence[Forecast],
    labels_N: NDArray[np.int64],
    cells: Sequence[NDArray[np.intp]],
    group_N: NDArray[np.intp] | None = None,
) -> ResidualSums:
    residual_EN = np.stack([forecast.residuals(labels_N) for forecast in forecasts])
    prob_EN = np.stack([forecast.probability_N for forecast in forecasts])
    possible_EN = np.stack([_everywhere(each) for each in forecasts])
    each = max(map(np.max, cells)) + 1
    number_EN = np.stack([cell_N + e * each for e, cell_N in enumerate(cells)])
    for number_N, possible_N in zip(number_EN, possible_EN, strict=True):
        number_N[~possible_N] = number_N[possible_N][0]
    position_H, cell_EN = np.unique(number_EN, return_inverse=True)
    cell_EN = cell_EN.reshape(number_EN.shape)
    group_H = np.arange(len(position_H))
    if group_N is not None:
        group_H[cell_EN[0]] = group_N

    def total(values_EN: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(cell_EN.ravel(), values_EN.ravel(), len(position_H)).astype(np.float64)

    return ResidualSums(
        n=len(labels_N),
        n_H=total(possible_EN.astype(np.float64)),
        expected_H=total(prob_EN),
        variance_H=total(prob_EN * (1 - prob_EN)),
        sums_H=total(residual_EN),
        group_H=np.unique(group_H, return_inverse=True)[1],
        position_H=position_H,
        residual_EN=residual_EN,
        cell_EN=cell_EN,
        possible_EN=possible_EN,
    )


def _everywhere(forecast: Forecast) -> NDArray[np.bool_]:
    return np.ones(len(forecast.answer_N), np.bool_) if forecast.possible_N is None else forecast.possible_N


def noise_of(several: Sequence[ResidualSums], *, draws: int, seed: int) -> list[NDArray[np.float64]]:
    """Return standard normal noise of every cell's sum, [D, H] of each, correlated as the residuals are.

    All are of the same examples. An example's residuals get one multiplier in all of them (a multiplier bootstrap;
    Mammen 1993, Annals of Statistics 21), so two predictors are correlated as their residuals are. The multipliers
    depend on the seed and the number of examples alone.
    """
    rng, n = np.random.default_rng(seed), several[0].n
    parts = [_parts(each) for each in several]
    noise = [np.zeros((draws, len(each.n_H))) for each in several]
    for at in range(0, draws, _BLOCK):
        multiplier_DN = rng.standard_normal((min(_BLOCK, draws - at), n))
        for noise_DH, own in zip(noise, parts, strict=True):
            for bins, scaled_N in own:
                noise_DH[at : at + _BLOCK, bins.filled_H] += bins.sums(bins.sort(multiplier_DN) * scaled_N)
    return noise


def _parts(sums: ResidualSums) -> list[tuple[Bins, NDArray[np.float64]]]:
    """Return for each event the cells, and what a multiplier of 1 adds to its cell, sorted by cell."""
    square_H = np.bincount(sums.cell_EN.ravel(), (sums.residual_EN**2).ravel(), len(sums.n_H))
    # Where every residual is 0, for probabilities of 0 and 1, examples count alike.
    residual_EN = np.where(square_H[sums.cell_EN] > 0, sums.residual_EN, sums.possible_EN)
    scale_H = np.sqrt(np.where(square_H > 0, square_H, sums.n_H))
    scaled_EN = residual_EN / scale_H[sums.cell_EN]
    events = [(Bins.of(cell_N), scaled_N) for cell_N, scaled_N in zip(sums.cell_EN, scaled_EN, strict=True)]
    return [(bins, scaled_N[bins.order_N]) for bins, scaled_N in events]


ECE: Final = Summed(sums=by_confidence, norm=absolute)
EQUAL_MASS_ECE: Final = Summed(sums=by_mass, norm=absolute)
CLASSWISE_ECE: Final = Summed(sums=by_class, norm=absolute)
SMOOTH_ECE: Final = Summed(sums=on_grid, norm=smoothed)
BRIER_RELIABILITY: Final = Summed(sums=by_class, norm=squared, degree=2)
