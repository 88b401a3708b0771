"""What an ensemble is sure of and what not, example by example.

Everything is computed in float64 from log-probabilities, so confident members neither round to certainty
nor yield infinities.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """The ensemble's answer to every example and what is uncertain about it; entropies in nats."""

    log_probs_NC: NDArray[np.float64]
    """Log of the pooled probability; finite for finite logits."""
    probs_NC: NDArray[np.float64]
    """Pooled probability: the mean of the members' softmax probabilities."""
    prediction_N: NDArray[np.int64]
    """The most probable class (the lowest index where several are)."""
    confidence_N: NDArray[np.float64]
    """The predicted class's pooled probability."""
    variance_N: NDArray[np.float64]
    """Mean over classes of the population variance over members; for two classes Var_m p_yes."""
    entropy_N: NDArray[np.float64]
    """H[mean_m p_m]: total uncertainty."""
    expected_entropy_N: NDArray[np.float64]
    """mean_m H[p_m]: aleatoric, what every single member is unsure of."""
    mutual_information_N: NDArray[np.float64]
    """Entropy minus expected entropy: epistemic, what the members disagree on."""
    disagreement_N: NDArray[np.float64]
    """Share of members whose class differs from the ensemble's."""


def measure_uncertainty(logits_MNC: NDArray[np.floating]) -> Uncertainty:
    """Pool the members and measure the uncertainty of every example.

    The mutual information is computed as the mean Kullback-Leibler divergence from the members to their
    mean, which equals entropy minus expected entropy but is exact where members agree: identical members
    have exactly 0. Total, aleatoric and epistemic part: Depeweg et al. 2018 (arXiv:1710.07283), eq. 10;
    mutual information as disagreement: Houlsby et al. 2011 (arXiv:1112.5745); pooling by the mean
    probability: Lakshminarayanan et al. 2017 (arXiv:1612.01474).

    Args:
        logits_MNC: finite logits of M members on N examples with C classes.
    """
    log_probs_MNC = log_softmax(logits_MNC)
    probs_MNC = np.exp(log_probs_MNC)
    log_probs_NC = log_mean_exp(log_probs_MNC)
    probs_NC = np.exp(log_probs_NC)
    prediction_N = log_probs_NC.argmax(axis=1)
    entropy_N = _entropy(probs_NC, log_probs_NC)
    divergence_MN = (probs_MNC * (log_probs_MNC - log_probs_NC)).sum(axis=-1)
    return Uncertainty(
        log_probs_NC=log_probs_NC,
        probs_NC=probs_NC,
        prediction_N=prediction_N,
        confidence_N=probs_NC.max(axis=1),
        variance_N=((probs_MNC - probs_NC) ** 2).mean(axis=(0, 2)),
        entropy_N=entropy_N,
        expected_entropy_N=_entropy(probs_MNC, log_probs_MNC).mean(axis=0),
        # Both bounds are theorems; only rounding can pass them.
        mutual_information_N=divergence_MN.mean(axis=0).clip(0.0, entropy_N),
        disagreement_N=(log_probs_MNC.argmax(axis=2) != prediction_N).mean(axis=0),
    )


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the log-probabilities over the last axis in float64; finite for finite logits."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    log_probs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probs


def log_mean_exp(log_probs_MNC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log mean_m exp, the pooled log-probability; of identical members exactly their own."""
    highest_NC = log_probs_MNC.max(axis=0)
    pooled_NC: NDArray[np.float64] = highest_NC + np.log(np.exp(log_probs_MNC - highest_NC).mean(axis=0))
    return pooled_NC


def _entropy(probs: NDArray[np.float64], log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
    entropy: NDArray[np.float64] = np.abs((probs * log_probs).sum(axis=-1))  # no terms above 0, and no -0.0
    return entropy
