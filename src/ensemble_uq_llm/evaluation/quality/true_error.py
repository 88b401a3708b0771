"""The true error behind a calibration error that noise has raised, its interval, and the comparison of two.

A calibration error of N examples is raised by noise, by about 1/sqrt(N) for a calibrated predictor and by less for
others, so two such errors may differ though the predictors are equally well calibrated. Here the error is drawn for
a ladder of assumed truths, from a calibrated predictor upwards (`residual_sums`). What truths are compatible with
what was observed is the interval (Neyman 1937); the truth that shows the observed error on average is the debiased
value. Two errors are compared at every common truth that is compatible with both, and the p-value is the largest
(Berger and Boos 1994, JASA 89:1012).
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.calibration import LogProbs
from ensemble_uq_llm.evaluation.quality.residual_sums import SHAPES, ResidualSums, Shape, Summed, noise_of
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate, Interval
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, SIGNIFICANCE_LEVEL

Whose = TypeVar("Whose", bound=Hashable)

_LADDER: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.3, 3.2)  # true errors, in units of the observed
_ALL_OF_IT: Final = 1e12  # a scale at which every gap is as large as it can be
_LEFT_OUT: Final = 0.001  # the probability that the common truth is not among those tried
_DEVIATIONS: Final = 3.48  # within which a truth is compatible, two predictors leaving out that probability
_TRUTHS: Final = 15  # common truths tried
_STEPS: Final = 12  # of bisection for each end of an interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Ladder:
    """Draws of a calibration error for each of a ladder G of true errors, all truths being of one shape."""

    true_G: NDArray[np.float64]
    """The true errors, from 0 up."""
    draws_GD: NDArray[np.float64]
    of_one: float = 0.0
    """The error of a single example among all."""

    @cached_property
    def mean_G(self) -> NDArray[np.float64]:
        """The mean error; it never falls."""
        return np.maximum.accumulate(self.draws_GD.mean(axis=1))

    def at(self, true_T: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return draws of the error for some true errors, [T, D]."""
        place_T = np.interp(true_T, self.true_G, np.arange(len(self.true_G)))
        below_T = np.minimum(place_T.astype(np.intp), len(self.true_G) - 2)
        share_T1 = (place_T - below_T)[:, None]
        return (1 - share_T1) * self.draws_GD[below_T] + share_T1 * self.draws_GD[below_T + 1]

    def inverse(self, error: NDArray[np.float64], of_G: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true error at which a function of it, made to rise, has a value; 0 where it starts above."""
        rising_G = np.maximum.accumulate(of_G)
        return np.interp(error, rising_G, self.true_G, left=0.0) + np.maximum(error - rising_G[-1], 0.0)

    def interval(self, observed: float) -> Interval:
        """Return the true errors for which an observed one lies within the middle 95% of the draws."""
        low_G, high_G = np.percentile(self.draws_GD, [2.5, 97.5], axis=1)
        return self._between(observed, low_G, high_G)

    def compatible(self, observed: float, degree: int) -> Interval:
        """Return the true errors that an observed one does not all but exclude."""
        roots_GD = self.draws_GD ** (1 / degree)  # which vary about equally for all truths
        mean_G, far_G = roots_GD.mean(axis=1), _DEVIATIONS * roots_GD.std(axis=1)
        return self._between(observed, np.maximum(mean_G - far_G, 0.0) ** degree, (mean_G + far_G) ** degree)

    def _between(self, observed: float, low_G: NDArray[np.float64], high_G: NDArray[np.float64]) -> Interval:
        # To look too good, or perfect, is luck, not knowledge: no better than a calibrated predictor does, and than an
        # error of one example.
        at_least = max(observed, float(self.mean_G[0]), self.of_one)
        return float(self.inverse(np.array(observed), high_G)), float(self.inverse(np.array(at_least), low_G))


@dataclass(frozen=True, kw_only=True, eq=False)
class ErrorLaw:
    """A calibration error as observed, and how it is distributed for assumed truths, a ladder for each shape."""

    n: int
    observed: float
    ladders: tuple[Ladder, ...]
    degree: int
    """The power by which the error grows with the gaps."""
    largest: float
    """No truth errs more with these probabilities."""

    @staticmethod
    def of(kind: Summed, sums: ResidualSums, noise_DH: NDArray[np.float64]) -> "ErrorLaw":
        """Draw an error of a kind for the truths.

        Args:
            kind: which error.
            sums: its residuals.
            noise_DH: of the sums, from `noise_of`; at least one draw.
        """
        norm, degree = kind.norm, kind.degree
        observed = float(norm(sums.sums_H[None], sums)[0])
        calibrated_D = norm(sums.drawn(np.zeros_like(sums.n_H), noise_DH), sums)
        of_one = (1 / sums.n) ** degree
        usual = max(observed, float(calibrated_D.mean()), 4**degree * of_one)

        def true(scale: float, shape: Shape) -> float:
            return float(norm((sums.n_H * sums.gap_H(scale, shape))[None], sums)[0])

        def ladder(shape: Shape) -> Ladder:
            unit = usual / max(true(1.0, shape), np.finfo(float).tiny)
            scales = [(step * unit) ** (1 / degree) for step in _LADDER]
            draws = [norm(sums.drawn(sums.gap_H(scale, shape), noise_DH), sums) for scale in scales[1:]]
            return Ladder(
                true_G=np.maximum.accumulate([true(scale, shape) for scale in scales]),
                draws_GD=np.stack([calibrated_D, *draws]),
                of_one=of_one,
            )

        return ErrorLaw(
            n=sums.n,
            observed=observed,
            ladders=tuple(map(ladder, SHAPES)),
            degree=degree,
            largest=max(observed, *(true(_ALL_OF_IT, shape) for shape in SHAPES)),
        )

    @staticmethod
    def mean_of(laws: Sequence["ErrorLaw"]) -> "ErrorLaw":
        """Return the law of the mean of several errors of the same examples."""
        return _combined(laws, np.mean)

    @staticmethod
    def least_of(laws: Sequence["ErrorLaw"]) -> "ErrorLaw":
        """Return the law of the least of several errors: that it was chosen as the least is accounted for."""
        return _combined(laws, np.min)

    @property
    def draws(self) -> int:
        """The number of draws."""
        return self.ladders[0].draws_GD.shape[1]

    @cached_property
    def value(self) -> float:
        """The debiased error: the truth whose mean error was observed; 0 where noise alone shows as much."""
        return float(self.debias(np.array(self.observed)))

    def debias(self, error: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the truths, the mean of both shapes', whose mean error is that."""
        values = [ladder.inverse(error, ladder.mean_G) for ladder in self.ladders]
        mean: NDArray[np.float64] = np.minimum(np.mean(values, axis=0), self.largest)
        return mean

    def estimate(self) -> Estimate:
        """Return the debiased error with its interval, the truths of either shape that are compatible with it.

        Below `FEWEST_EXAMPLES` there is no interval.
        """
        if self.n < FEWEST_EXAMPLES:
            return Estimate(value=self.value, ci95=None)
        ends = [self.value, *(end for ladder in self.ladders for end in ladder.interval(self.observed))]
        return Estimate(value=self.value, ci95=(min(ends), min(max(ends), self.largest)))

    @cached_property
    def compatible(self) -> tuple[Interval, ...]:
        """The true errors of each shape that are not all but excluded."""
        return tuple(ladder.compatible(self.observed, self.degree) for ladder in self.ladders)

    def debiased_at(self, shape: int, true_T: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return draws of the debiased error for some true errors of a shape, [T, D]."""
        return self.debias(self.ladders[shape].at(true_T))

    def equals(self, other: "ErrorLaw") -> bool:
        """Return whether another law has the same draws, as that of the same predictions has."""
        pairs = zip(self.ladders, other.ladders, strict=True)
        return all(np.array_equal(ours.draws_GD, theirs.draws_GD) for ours, theirs in pairs)

    def apart(self) -> "ErrorLaw":
        """Return the law with its draws moved on by one, so that those of equal number are independent."""
        moved = (replace(ladder, draws_GD=np.roll(ladder.draws_GD, 1, axis=1)) for ladder in self.ladders)
        return replace(self, ladders=tuple(moved))


def error_laws(
    predictors: Mapping[Whose, LogProbs],
    labels_N: NDArray[np.int64],
    kinds: Mapping[str, Summed],
    *,
    draws: int,
    seed: int,
) -> dict[Whose, dict[str, ErrorLaw]]:
    """Return the law of every error by its name, of every predictor of the same examples; nothing without draws.

    Args:
        predictors: log-probabilities of the labelled examples.
        labels_N: the labels, all known.
        kinds: the errors by name.
        draws: of the noise.
        seed: of the noise.
    """
    if not draws:
        return {whose: {} for whose in predictors}
    sums = {
        (whose, name): kind.sums(log_probs_NC, labels_N)
        for whose, log_probs_NC in predictors.items()
        for name, kind in kinds.items()
    }
    noise = dict(zip(sums, noise_of(list(sums.values()), draws=draws, seed=seed), strict=True))
    return {
        whose: {name: ErrorLaw.of(kind, sums[whose, name], noise[whose, name]) for name, kind in kinds.items()}
        for whose in predictors
    }


def _combined(laws: Sequence[ErrorLaw], how: Callable[..., Any]) -> ErrorLaw:
    first = laws[0]
    return ErrorLaw(
        n=first.n,
        observed=float(how([law.observed for law in laws])),
        ladders=tuple(
            Ladder(
                true_G=how([law.ladders[shape].true_G for law in laws], axis=0),
                draws_GD=how([law.ladders[shape].draws_GD for law in laws], axis=0),
                of_one=first.ladders[shape].of_one,
            )
            for shape in range(len(first.ladders))
        ),
        degree=first.degree,
        largest=float(how([law.largest for law in laws])),
    )


def compare_errors(a: ErrorLaw, b: ErrorLaw, *, paired: bool = True) -> Comparison:
    """Return the debiased error of a minus that of b, with its 95% interval and two-sided p-value.

    Args:
        a: the one error.
        b: the other, of the same kind.
        paired: whether both are of the same examples and were drawn with the same seed.

    Below `FEWEST_EXAMPLES` there is neither interval nor p-value.
    """
    if paired and a.equals(b):  # nothing differs, whatever the truth
        nothing = a.n >= FEWEST_EXAMPLES
        return Comparison(value=0.0, ci95=(0.0, 0.0) if nothing else None, p_value=1.0 if nothing else None)
    b = b if paired else b.apart()
    value = a.value - b.value
    if min(a.n, b.n) < FEWEST_EXAMPLES:
        return Comparison(value=value, ci95=None, p_value=None)
    least = min(of_a[0] - of_b[1] for of_a, of_b in zip(a.compatible, b.compatible, strict=True))
    most = max(of_a[1] - of_b[0] for of_a, of_b in zip(a.compatible, b.compatible, strict=True))
    ends = (_end(a, b, value, min(least, value)), _end(a, b, value, max(most, value)))
    p_value = _p_value(a, b, value, 0.0)
    return Comparison(value=value, ci95=ends, p_value=p_value, at_floor=p_value <= _least_p(a))


def _p_value(a: ErrorLaw, b: ErrorLaw, observed: float, difference: float) -> float:
    """Return the p-value of the true a - b being so much, the largest over the truths that are compatible with it."""
    share = 0.0
    for shape, (of_a, of_b) in enumerate(zip(a.compatible, b.compatible, strict=True)):
        low, high = max(of_a[0], of_b[0] + difference), min(of_a[1], of_b[1] + difference)
        if low > high:
            continue
        true_T = np.linspace(low, high, _TRUTHS)
        drawn_TD = a.debiased_at(shape, true_T) - b.debiased_at(shape, true_T - difference)
        fewer_T = np.minimum((drawn_TD <= observed).sum(axis=1), (drawn_TD >= observed).sum(axis=1))
        share = max(share, float(fewer_T.max()) / a.draws)
    return min(1.0, max(_least_p(a), _LEFT_OUT + 2 * share))


def _least_p(law: ErrorLaw) -> float:
    """Return the p-value of what no draw shows: it is an upper bound."""
    return max(_LEFT_OUT, 2 / (law.draws + 1))


def _end(a: ErrorLaw, b: ErrorLaw, inside: float, outside: float) -> float:
    """Return where, from the observed difference outwards, the p-value falls below the level."""
    if inside == outside or _p_value(a, b, inside, outside) >= SIGNIFICANCE_LEVEL:
        return outside
    observed = inside
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if _p_value(a, b, observed, middle) >= SIGNIFICANCE_LEVEL:
            inside = middle
        else:
            outside = middle
    return inside
