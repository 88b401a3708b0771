"""Smooth calibration error: no bins, and a bandwidth that follows from the data.

Błasiok and Nakkiran 2023 (arXiv:2309.12236). The residuals, probability minus outcome, lie at their probabilities
on [0, 1] and are smoothed by a Gaussian of width sigma that is reflected at both ends; smECE_sigma is the integral
of the absolute value of what remains. It decreases in sigma, and smECE is its value where it equals sigma.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.calibration import Bins, CalibrationError, Forecast, LogProbs, top_label

COARSE: Final = 128
"""Points of the grid on which `coarse_error` smooths."""

_GRID = 1024  # points; their distance is the narrowest bandwidth
_TOLERANCE = 1e-7  # of the bandwidth
# Sharing a value between two points of the grid smooths it, too: its spectrum, by which to divide.
_SHARED_F = np.sinc(np.arange(_GRID + 1) / (2 * _GRID)) ** 2
_WIDTHS_S = np.geomspace(1 / COARSE, 1.0, 20)  # bandwidths of the coarse error
_ROWS = 64  # draws smoothed at once, so that their spectra stay in the cache


def smooth_ece(log_probs_NC: LogProbs) -> CalibrationError:
    """Smooth calibration error of the predicted class's probability."""
    return smooth_error(top_label(log_probs_NC))


def smooth_error(forecast: Forecast) -> CalibrationError:
    """Return the smooth calibration error of any forecast."""
    spread = _Spread.over(forecast.probability_N)

    def error(weights_DN: NDArray[np.float64], labels_DN: NDArray[np.int64]) -> NDArray[np.float64]:
        residuals_DG = spread(weights_DN * forecast.residuals(labels_DN))
        residuals_DG /= weights_DN.sum(axis=1, keepdims=True)
        parts = [_fixed_point(residuals_DG[at : at + _ROWS]) for at in range(0, len(residuals_DG), _ROWS)]
        return np.concatenate(parts)

    return error


def coarse_error(residuals_DG: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return nearly the smooth calibration error, of mean residuals at the points (j + 1/2) / G of a coarse grid.

    For noise drawn by the ten thousand: smECE_sigma at a ladder of bandwidths, and between them a straight line. It
    is the same to about 1% where the error is well above 1 / G.
    """
    value_SD = np.stack([np.abs(residuals_DG @ kernel_GG).sum(axis=1) for kernel_GG in _coarse_kernels()])
    over_SD = value_SD - _WIDTHS_S[:, None]
    at_D, rows = np.clip((over_SD > 0).sum(axis=0) - 1, 0, len(_WIDTHS_S) - 2), np.arange(len(residuals_DG))
    low_D, high_D = over_SD[at_D, rows], over_SD[at_D + 1, rows]
    share_D = np.clip(low_D / (low_D - high_D), 0.0, 1.0)  # their difference is at least that of the widths
    error_D: NDArray[np.float64] = (1 - share_D) * value_SD[at_D, rows] + share_D * value_SD[at_D + 1, rows]
    return error_D


@cache
def _coarse_kernels() -> NDArray[np.float64]:
    """Return by bandwidth what every point of the coarse grid adds to every other, [S, G, G]."""
    mirrored_GG = np.concatenate([np.eye(COARSE), np.eye(COARSE)[:, ::-1]], axis=1)
    wave_F = np.pi * np.arange(COARSE + 1)
    gaussian_SF = np.exp(-0.5 * (_WIDTHS_S[:, None] * wave_F) ** 2)
    kernels: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(mirrored_GG) * gaussian_SF[:, None])[..., :COARSE]
    return kernels


class _Spread:
    """Shares every example's value between the two nearest points of the grid (j + 1/2) / G, by nearness.

    Beyond the outermost points all goes to them, which is what nearness says of a grid that is mirrored there.
    """

    def __init__(self, position_N: NDArray[np.float64]) -> None:
        left_N = np.minimum(position_N.astype(np.intp), _GRID - 2)
        self._bins = Bins.of(left_N)
        self._nearness_N = (position_N - left_N)[self._bins.order_N]

    @classmethod
    def over(cls, probability_N: NDArray[np.float64]) -> "_Spread":
        return cls((probability_N * _GRID - 0.5).clip(0.0, _GRID - 1.0))

    def __call__(self, values_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        sorted_DN = self._bins.sort(values_DN)
        right_DH = self._bins.sums(sorted_DN * self._nearness_N)
        left = self._bins.filled_H
        grid_DG = np.zeros((len(values_DN), _GRID))
        grid_DG[:, left] = self._bins.sums(sorted_DN) - right_DH
        grid_DG[:, left + 1] += right_DH
        return grid_DG


def _fixed_point(residuals_DG: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return smECE_sigma where it equals sigma.

    As it decreases, the fixed point lies between any sigma and its smECE_sigma: both bound it, which is never
    slower than bisection.
    """
    spectrum_DF = np.fft.rfft(np.concatenate([residuals_DG, residuals_DG[:, ::-1]], axis=1))
    spectrum_DF /= _SHARED_F
    low_D, high_D = np.zeros(len(residuals_DG)), np.ones(len(residuals_DG))
    while True:
        sigma_D = (low_D + high_D) / 2
        value_D = _smoothed(spectrum_DF, sigma_D)
        low_D = np.maximum(low_D, np.minimum(sigma_D, value_D))
        high_D = np.minimum(high_D, np.maximum(sigma_D, value_D))
        if not (high_D - low_D > _TOLERANCE).any():
            return value_D


def _smoothed(spectrum_DF: NDArray[np.complex128], sigma_D: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return smECE_sigma from the spectrum of the mirrored residuals, whose period is 2."""
    wave_F = np.pi * np.arange(spectrum_DF.shape[1])
    width_D = np.maximum(sigma_D, 1 / _GRID)  # a narrower one falls between the points
    gaussian_DF = np.exp(-0.5 * (width_D[:, None] * wave_F) ** 2)
    smooth_DG = np.fft.irfft(spectrum_DF * gaussian_DF)[:, :_GRID]
    integral_D: NDArray[np.float64] = np.abs(smooth_DG).sum(axis=1)
    return integral_D
