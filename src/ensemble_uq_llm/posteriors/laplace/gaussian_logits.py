"""The expected softmax of logits that are Gaussian: for two classes by quadrature, for more by sampled logits."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from ensemble_uq_llm.posteriors.laplace.curvature import Array, contrasts

POINTS: Final = 32
"""Of the Gauss-Hermite quadrature, for two classes; it is off by .00002 at most where the logit difference has a
standard deviation up to 3, and by .015 at 10."""

DRAWS: Final = 4096
"""Sampled logits of a row, for more classes, half of them the others' mirror images; all rows share them."""

_ROWS_AT_ONCE: Final = 256


def expected_probs(
    mean_NE: Array, covariance_NEE: Array, *, generator: Generator, options_N: NDArray[np.int64] | None = None
) -> Array:
    """Return the mean [N, C] of the softmax over logits whose contrasts have this mean and covariance.

    `generator` draws where there are more than two classes; `options_N` says how many of them a row has.
    """
    if mean_NE.shape[1] == 1:
        second_N = _expected_sigmoid(mean_NE[:, 0] * 2**0.5, covariance_NEE[:, 0, 0] * 2)
        return np.stack([1 - second_N, second_N], axis=1)
    basis_CE = contrasts(mean_NE.shape[1] + 1)
    half = torch.randn(DRAWS // 2, mean_NE.shape[1], generator=generator, dtype=torch.float64).numpy()
    noise = np.concatenate([half, -half])
    roots_NEE = _roots(covariance_NEE)
    parts = []
    for start in range(0, len(mean_NE), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        drawn = mean_NE[rows, None] + np.einsum("nef,sf->nse", roots_NEE[rows], noise)
        logits = drawn @ basis_CE.T
        if options_N is not None:
            logits[np.broadcast_to(np.arange(len(basis_CE)) >= options_N[rows, None, None], logits.shape)] = -np.inf
        parts.append(_softmax(logits).mean(1))
    return np.concatenate(parts) if parts else np.empty((0, len(basis_CE)))


def _expected_sigmoid(mean_N: Array, variance_N: Array) -> Array:
    points, weights = np.polynomial.hermite_e.hermegauss(POINTS)
    drawn = mean_N[:, None] + np.sqrt(np.maximum(variance_N, 0))[:, None] * points
    expected_N: Array = _sigmoid(drawn) @ (weights / weights.sum())
    return expected_N


def _sigmoid(values: Array) -> Array:
    return (1 + np.tanh(values / 2)) / 2


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    softmax: Array = powers / powers.sum(-1, keepdims=True)
    return softmax


def _roots(covariance_NEE: Array) -> Array:
    """Return Cholesky factors; a hair is added where a covariance is singular, as that of no variance is."""
    scale_N = np.einsum("nee->n", covariance_NEE) / covariance_NEE.shape[1]
    hair_NEE = (1e-12 * scale_N + 1e-300)[:, None, None] * np.eye(covariance_NEE.shape[1])
    return np.linalg.cholesky(covariance_NEE + hair_NEE)
