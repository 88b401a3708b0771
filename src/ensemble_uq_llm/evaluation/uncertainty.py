"""What an ensemble is sure of and what not, example by example.

Everything is computed in float64 from log-probabilities, so confident members neither round to certainty
nor yield infinities. Sums over members are sums of sorted terms, so that no digit depends on the members' order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.labels.lacking_options import lacks, options_of
from ensemble_uq_llm.statistics.ties import most_probable
from ensemble_uq_llm.utils.text import counted


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """The ensemble's answer to every example and what is uncertain about it; entropies in nats."""

    log_probs_NC: NDArray[np.float64]
    """Log of the pooled probability; finite for finite logits."""
    probs_NC: NDArray[np.float64]
    """Pooled probability: the mean of the members' softmax probabilities."""
    prediction_N: NDArray[np.int64]
    """The most probable class; the lowest index where several are, up to rounding."""
    confidence_N: NDArray[np.float64]
    """The predicted class's pooled probability."""
    margin_N: NDArray[np.float64]
    """Highest minus second highest pooled probability."""
    variance_N: NDArray[np.float64]
    """Mean over the example's classes of the population variance over members; for two classes Var_m p_yes."""
    entropy_N: NDArray[np.float64]
    """H[mean_m p_m]: total uncertainty."""
    expected_entropy_N: NDArray[np.float64]
    """mean_m H[p_m]: aleatoric, what every single member is unsure of."""
    mutual_information_N: NDArray[np.float64]
    """Entropy minus expected entropy: epistemic, what the members disagree on."""
    expected_pairwise_kl_N: NDArray[np.float64]
    """Mean over ordered pairs of members, a member with itself included, of KL(p_m || p_m'), in nats."""
    disagreement_N: NDArray[np.float64]
    """Share of members whose class differs from the ensemble's."""
    spread_N: NDArray[np.float64]
    """Highest minus lowest probability that a member gives to the ensemble's class."""
    answer_mass_N: NDArray[np.float64] | None = None
    """Mean over members of the probability of all answers together among all tokens, where it is known."""

    @cached_property
    def lacks_NC(self) -> NDArray[np.bool_] | None:
        """The classes that each example lacks, in multiple choice; None where every example has all."""
        lacks_NC = lacks(self.log_probs_NC)
        return lacks_NC if lacks_NC.any() else None

    @property
    def options_N(self) -> NDArray[np.int64]:
        """How many of the classes each example has."""
        return options_of(self.log_probs_NC)

    @property
    def normalised_entropy_N(self) -> NDArray[np.float64]:
        """The entropy as a share of the most that the example's own classes allow, 0 to 1."""
        return self.entropy_N / np.log(self.options_N)

    def take(self, rows_N: NDArray[np.intp]) -> "Uncertainty":
        """Return the same of these examples, in this order."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        taken: dict[str, Any] = {name: value if value is None else value[rows_N] for name, value in values.items()}
        return Uncertainty(**taken)

    def __repr__(self) -> str:
        means = {
            "confidence": self.confidence_N,
            "entropy": self.entropy_N,
            "mutual information": self.mutual_information_N,
        }
        shown = ", ".join(f"{name} {values_N.mean():.3f}" for name, values_N in means.items())
        examples, classes = self.probs_NC.shape
        return f"Uncertainty({counted(examples, 'example')}, {counted(classes, 'class', 'classes')}; mean {shown})"


def joined(parts: Sequence[Uncertainty]) -> Uncertainty:
    """Return the examples of several parts one after another, each measured over members of its own."""
    values: dict[str, Any] = {}
    for each in fields(Uncertainty):
        of_parts = [getattr(part, each.name) for part in parts]
        values[each.name] = None if of_parts[0] is None else np.concatenate(of_parts)
    return Uncertainty(**values)


def measure_uncertainty(
    logits_MNC: NDArray[np.floating], *, answer_mass_MN: NDArray[np.float64] | None = None
) -> Uncertainty:
    """Pool the members and measure the uncertainty of every example.

    The mutual information is computed as the mean Kullback-Leibler divergence from the members to their
    mean, which equals entropy minus expected entropy but is exact where members agree: identical members
    have exactly 0. Total, aleatoric and epistemic part: Depeweg et al. 2018 (arXiv:1710.07283), eq. 10;
    mutual information as disagreement: Houlsby et al. 2011 (arXiv:1112.5745); expected pairwise divergence:
    Malinin and Gales 2021 (arXiv:2002.07650); pooling by the mean probability:
    Lakshminarayanan et al. 2017 (arXiv:1612.01474).

    Args:
        logits_MNC: finite logits of M members on N examples with C classes; of a class that an example lacks as
            `labels.lacking_options` says.
        answer_mass_MN: how probable all answers together are among all tokens, where that is known.
    """
    log_probs_MNC = log_softmax(logits_MNC)
    probs_MNC = np.exp(log_probs_MNC)
    log_probs_NC = log_mean_exp(log_probs_MNC)
    probs_NC = np.exp(log_probs_NC)
    prediction_N = most_probable(log_probs_NC)
    entropy_N = _entropy(probs_NC, log_probs_NC)
    deviation_MNC = probs_MNC - probs_NC
    log_ratio_MNC = log_probs_MNC - log_probs_NC
    # Both bounds are theorems; only rounding can pass them.
    mutual_information_N = _mean_product(probs_MNC, log_ratio_MNC).clip(0.0, entropy_N)
    return Uncertainty(
        log_probs_NC=log_probs_NC,
        probs_NC=probs_NC,
        prediction_N=prediction_N,
        confidence_N=np.take_along_axis(probs_NC, prediction_N[:, None], axis=1)[:, 0],
        margin_N=_margin(probs_NC),
        variance_N=_mean_product(deviation_MNC, deviation_MNC) / options_of(log_probs_NC),
        entropy_N=entropy_N,
        expected_entropy_N=_mean_of_members(_entropy(probs_MNC, log_probs_MNC)),
        mutual_information_N=mutual_information_N,
        # The mean of KL(p_m || p_m') over all pairs is sum_c Cov_m(p_mc, log p_mc), and a covariance allows any
        # constant to be taken off the logarithms. With the pooled one no term is negative. What it has beyond
        # the mutual information is a divergence too, so only rounding can bring it below.
        expected_pairwise_kl_N=np.maximum(_mean_product(deviation_MNC, log_ratio_MNC), mutual_information_N),
        disagreement_N=(most_probable(log_probs_MNC) != prediction_N).mean(axis=0),
        spread_N=_spread(probs_MNC, prediction_N),
        answer_mass_N=None if answer_mass_MN is None else _mean_of_members(answer_mass_MN),
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
    pooled_NC: NDArray[np.float64] = highest_NC + np.log(_mean_of_members(np.exp(log_probs_MNC - highest_NC)))
    return pooled_NC


def _entropy(probs: NDArray[np.float64], log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
    entropy: NDArray[np.float64] = np.abs((probs * log_probs).sum(axis=-1))  # no terms above 0, and no -0.0
    return entropy


def _mean_product(left_MNC: NDArray[np.float64], right_MNC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean_m sum_c left * right, without holding the products."""
    return _mean_of_members(np.einsum("mnc,mnc->mn", left_MNC, right_MNC))


def _mean_of_members(values_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the first axis, to the last digit the same in whatever order the members come."""
    mean: NDArray[np.float64] = np.sort(values_M, axis=0).mean(axis=0)
    return mean


def _margin(probs_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    second_N, first_N = np.partition(probs_NC, -2, axis=1)[:, -2:].T
    margin_N: NDArray[np.float64] = first_N - second_N
    return margin_N


def _spread(probs_MNC: NDArray[np.float64], prediction_N: NDArray[np.int64]) -> NDArray[np.float64]:
    # Taken from what the members give to the other classes: near 1 a probability has lost its digits.
    is_other_NC = np.not_equal.outer(prediction_N, np.arange(probs_MNC.shape[2]))
    others_MN = np.einsum("mnc,nc->mn", probs_MNC, is_other_NC.astype(np.float64))
    spread_N: NDArray[np.float64] = np.ptp(others_MN, axis=0)
    return spread_N
