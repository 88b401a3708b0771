"""How large a calibration error is from noise alone: what a perfectly calibrated predictor would show.

The predicted probabilities are taken for the true ones and labels are drawn from them again and again. An error
within the floor says nothing against the predictor; the smaller the set, the higher the floor. The predictions
are kept and the labels drawn, as in the consistency bars of Bröcker and Smith 2007 (doi:10.1175/WAF993.1), who
resample the predictions as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.calibration import ECE_BINS, Bins, CalibrationError, LogProbs, confidence_bin
from ensemble_uq_llm.evaluation.records import Floor
from ensemble_uq_llm.labels.lacking_options import lacks
from ensemble_uq_llm.statistics.bootstrap import DRAWS
from ensemble_uq_llm.statistics.draws import over_draws
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES

_TIE = 1e-12  # errors this near each other are equal up to rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseFloor:
    """The errors of a perfectly calibrated predictor with the same probabilities, one a draw."""

    draws_D: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """What it shows on average."""
        return float(self.draws_D.mean())

    @property
    def p95(self) -> float:
        """What it exceeds in one draw of twenty."""
        return float(np.percentile(self.draws_D, 95))

    def p_value(self, observed: float) -> float:
        """Return how often a calibrated predictor looks at least as bad as observed.

        One is added above and below (Davison and Hinkley 1997, eq. 4.11), so it is never below 1 / (draws + 1).
        """
        as_bad = int((self.draws_D >= observed - _TIE).sum())
        return (as_bad + 1) / (len(self.draws_D) + 1)

    def beside(self, observed: float, *, examples: int) -> Floor:
        """Return what the metrics say of it beside the error that was observed on so many examples."""
        told, p_value = examples >= FEWEST_EXAMPLES, self.p_value(observed)
        at_floor = told and p_value == 1 / (len(self.draws_D) + 1)
        return Floor(mean=self.mean, p95=self.p95, p_value=p_value if told else None, at_floor=at_floor)


def noise_floor(
    log_probs_NC: LogProbs, errors: Mapping[str, CalibrationError], *, draws: int = DRAWS, seed: int = 0
) -> dict[str, NoiseFloor]:
    """Return every error's noise floor, all from the same draws; nothing without draws.

    Args:
        log_probs_NC: the predictions that the errors were made from.
        errors: the errors by name; called from several threads at once.
        draws: how often labels are drawn for all examples.
        seed: of the labels; they depend on it and on draws alone.
    """
    if not draws:
        return {}
    lacks_NC = lacks(log_probs_NC)
    lacking = lacks_NC if lacks_NC.any() else None
    simulated = _simulate(np.exp(log_probs_NC), errors, draws=draws, seed=seed, lacks_NC=lacking)
    return {name: NoiseFloor(draws_D=draws_D) for name, draws_D in simulated.items()}


def consistency_band(confidence_N: NDArray[np.float64], *, draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """Return where the accuracy of a bin lies in 95% of draws if confidence is right, [H, 2]: low and high.

    Args:
        confidence_N: the predicted classes' probabilities.
        draws: how often right and wrong are drawn for all examples; at least 1.
        seed: of the draws.

    Returns:
        One row each of the 15 bins of the ECE; NaN where it has no example.
    """
    bins = Bins.of(confidence_bin(confidence_N))
    n_H = np.diff(bins.starts_H, append=len(confidence_N))

    def accuracy(_: NDArray[np.float64], correct_DN: NDArray[np.int64]) -> NDArray[np.float64]:
        return bins.sums(bins.sort(correct_DN.astype(np.float64))) / n_H

    probs_N2 = np.stack([1 - confidence_N, confidence_N], axis=1)
    accuracy_DH = _simulate(probs_N2, {"accuracy": accuracy}, draws=draws, seed=seed)["accuracy"]
    band_H2 = np.full((ECE_BINS, 2), np.nan)
    band_H2[bins.filled_H] = np.percentile(accuracy_DH, [2.5, 97.5], axis=0).T
    return band_H2


def _simulate(
    probs_NC: NDArray[np.float64],
    quantities: Mapping[str, CalibrationError],
    *,
    draws: int,
    seed: int,
    lacks_NC: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the quantities, one row a draw of all labels from the probabilities."""
    edges_CN = np.cumsum(probs_NC[:, :-1].T, axis=0)
    if lacks_NC is not None:
        # Past the last class that an example has there is no other, though rounding leaves its edge below 1.
        last_N = probs_NC.shape[1] - 1 - (~lacks_NC)[:, ::-1].argmax(axis=1)
        edges_CN[np.arange(len(edges_CN))[:, None] >= last_N] = np.inf
    ones_1N = np.ones((1, len(probs_NC)))

    def work(generators: Sequence[np.random.Generator]) -> dict[str, NDArray[np.float64]]:
        labels_DN = _draw_labels(edges_CN, generators)
        return {name: quantity(ones_1N, labels_DN) for name, quantity in quantities.items()}

    return over_draws(work, draws=draws, examples=len(probs_NC), seed=seed)


def _draw_labels(edges_CN: NDArray[np.float64], generators: Sequence[np.random.Generator]) -> NDArray[np.int64]:
    """Return one row of labels a generator: how many of the classes' cumulative probabilities are passed."""
    uniform_DN = np.stack([rng.random(edges_CN.shape[1]) for rng in generators])
    labels_DN = np.zeros(uniform_DN.shape, dtype=np.int64)
    for edge_N in edges_CN:
        labels_DN += uniform_DN >= edge_N
    return labels_DN
