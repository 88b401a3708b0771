"""Laplace's posterior of one linear softmax layer: a Gaussian around the trained weights, once for each member.

The weights stay those of the training, be they its optimum or not (an early stop is none): what is fitted is the
covariance, (curvature + precision of the prior)^-1, over the training rows. The logits are linear in the weights, so
the Gaussian of the logits is exact given that of the weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from ensemble_uq_llm.posteriors.laplace.curvature import LARGEST, Array, Curvature, contrasts, curvature_of
from ensemble_uq_llm.posteriors.laplace.evidence import best_precision, effective_weights
from ensemble_uq_llm.posteriors.laplace.gaussian_logits import expected_probs


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRows:
    """What a layer has seen in training: features h [N, H], its log probabilities [N, C], and the labels.

    A class that a row lacks has the log probability of minus infinity.
    """

    features_NH: Array
    log_probs_NC: Array
    labels_N: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLayerPosterior:
    """A Gaussian over weights [C, H]: `curvature` plus `precision` is its inverse covariance.

    It is one of the contrasts between classes alone; what is common to all classes stays as it is, since no
    probability depends on it. `facts` tell how it was found, as JSON values.
    """

    classes: int
    curvature: Curvature
    precision: float
    facts: Mapping[str, Any]

    def deviation(self, generator: Generator) -> Array:
        """Return a draw [C, H] of the weights' deviation from the trained ones."""
        scales = self._variances() ** 0.5
        noise = torch.randn(scales.shape, generator=generator, dtype=torch.float64).numpy()
        return contrasts(self.classes) @ self.curvature.to_weights(noise * scales)

    def expected_probs(
        self,
        features_NH: Array,
        logits_NC: Array,
        *,
        generator: Generator,
        options_N: NDArray[np.int64] | None = None,
    ) -> Array:
        """Return the probabilities [N, C] with the weights integrated out, where `logits_NC` are the trained ones'."""
        mean_NE = logits_NC @ contrasts(self.classes)
        covariance_NEE = self.curvature.spread(features_NH, self._variances())
        return expected_probs(mean_NE, covariance_NEE, generator=generator, options_N=options_N)

    def _variances(self) -> Array:
        variances: Array = 1 / (self.curvature.eigenvalues + self.precision)
        return variances


def fit_last_layer(
    rows: LayerRows, weights_CH: Array, *, precision: float | None = None, largest: int = LARGEST
) -> LastLayerPosterior:
    """Return the posterior around these weights; without a `precision` of the prior, that of the highest evidence.

    The curvature is held in full up to a side of `largest`, else as a Kronecker product: the facts say which.
    """
    curvature = curvature_of(rows.features_NH, np.exp(rows.log_probs_NC), largest=largest)
    log_likelihood = float(np.take_along_axis(rows.log_probs_NC, rows.labels_N[:, None], axis=1).sum())
    facts: dict[str, Any] = {
        "structure": curvature.structure,
        "weights": curvature.eigenvalues.size,
        "training_rows": len(rows.labels_N),
        "precision_by": "setting",
    }
    if precision is None:
        squared_norm = float(((contrasts(len(weights_CH)).T @ weights_CH) ** 2).sum())
        peak = best_precision(
            log_likelihood=log_likelihood, squared_norm=squared_norm, eigenvalues=curvature.eigenvalues
        )
        precision = peak.precision
        facts |= {
            "precision_by": "evidence",
            "log_evidence": peak.log_evidence,
            "precision_at_edge": peak.at_edge,
        }
    facts |= {"precision": precision, "effective_weights": effective_weights(curvature.eigenvalues, precision)}
    return LastLayerPosterior(classes=len(weights_CH), curvature=curvature, precision=precision, facts=facts)
