"""How precise the prior is, by the evidence: the probability of the training labels, weights integrated out.

By Laplace's approximation (MacKay, 1992) that is, of P weights w with log likelihood l, curvature of eigenvalues
v and a Gaussian prior of precision d: log p = l - d/2 |w|^2 + P/2 log d - 1/2 sum log(v + d).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ensemble_uq_llm.posteriors.laplace.curvature import Array

LOWEST: Final = 1e-6
HIGHEST: Final = 1e8
"""Between these the precision is looked for."""

_A_DECADE: Final = 10
_REFINEMENTS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidencePeak:
    """The precision of the highest evidence; `at_edge` says that it is the lowest or highest that was tried."""

    precision: float
    log_evidence: float
    at_edge: bool


def log_evidence(*, log_likelihood: float, squared_norm: float, eigenvalues: Array, precisions: Array) -> Array:
    """Return the log evidence for each of these precisions."""
    values = eigenvalues.ravel()
    log_determinants = np.array([np.log(values + precision).sum() for precision in precisions])
    evidence: Array = (
        log_likelihood - precisions * squared_norm / 2 + values.size * np.log(precisions) / 2 - log_determinants / 2
    )
    return evidence


def best_precision(*, log_likelihood: float, squared_norm: float, eigenvalues: Array) -> EvidencePeak:
    """Return the best precision of a logarithmic grid, which is then refined around it."""
    grid = np.geomspace(LOWEST, HIGHEST, 1 + _A_DECADE * round(np.log10(HIGHEST / LOWEST)))
    step = 10 ** (1 / _A_DECADE)
    for _ in range(_REFINEMENTS):
        found = log_evidence(
            log_likelihood=log_likelihood, squared_norm=squared_norm, eigenvalues=eigenvalues, precisions=grid
        )
        precision, highest = float(grid[found.argmax()]), float(found.max())
        grid = np.clip(np.geomspace(precision / step, precision * step, 2 * _A_DECADE + 1), LOWEST, HIGHEST)
        step **= 1 / _A_DECADE
    at_edge = not LOWEST * 1.01 < precision < HIGHEST / 1.01
    return EvidencePeak(precision=precision, log_evidence=highest, at_edge=at_edge)


def effective_weights(eigenvalues: Array, precision: float) -> float:
    """Return how many weights the data decide, rather than the prior (MacKay's gamma)."""
    return float((eigenvalues / (eigenvalues + precision)).sum())
