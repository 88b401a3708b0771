"""The bench of all makers: a posterior in closed form, distances to it, and checks that name what is wrong.

Every check whitens: samples of N(mean, covariance) become independent standard normals, whose sums of squares have a
chi-squared distribution. So a check is an exact test; `LEVEL` is how often it would reject what is right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import pdist

Array = NDArray[np.float64]

LEVEL = 1e-6


class BenchError(AssertionError):
    """Samples are not those of the posterior; the message says in what."""


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution over P numbers."""

    mean: Array
    covariance: Array

    def draw(self, samples: int, rng: np.random.Generator) -> Array:
        """Return samples [S, P]."""
        return self.mean + rng.standard_normal((samples, len(self.mean))) @ np.linalg.cholesky(self.covariance).T

    def whitened(self, samples: Array) -> Array:
        """Return what would be standard normal if the samples [..., P] were this distribution's."""
        flat = (samples - self.mean).reshape(-1, len(self.mean))
        return np.linalg.solve(np.linalg.cholesky(self.covariance), flat.T).T.reshape(samples.shape)


def wasserstein(first: Gaussian, second: Gaussian) -> float:
    """Return the 2-Wasserstein distance, in the numbers' own unit."""
    root = _root(second.covariance)
    cross = np.trace(_root(root @ first.covariance @ root))
    squared = ((first.mean - second.mean) ** 2).sum() + np.trace(first.covariance + second.covariance) - 2 * cross
    return float(max(squared, 0.0) ** 0.5)


def kl(first: Gaussian, second: Gaussian) -> float:
    """Return KL(first || second) in nats."""
    inverse = np.linalg.inv(second.covariance)
    apart = first.mean - second.mean
    determinants = np.linalg.slogdet(second.covariance)[1] - np.linalg.slogdet(first.covariance)[1]
    return float((np.trace(inverse @ first.covariance) + apart @ inverse @ apart - len(apart) + determinants) / 2)


def moments_of(samples: Array) -> Gaussian:
    """Return the Gaussian of the samples' [S, P] own mean and covariance."""
    return Gaussian(samples.mean(0), np.atleast_2d(np.cov(samples.T)))


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


@dataclass(frozen=True)
class LinearGaussian:
    """Rows y = X w + noise: a linear layer whose loss is half the summed square over the noise's variance."""

    x_NP: Array
    y_N: Array
    noise: float
    precision: float

    @staticmethod
    def drawn(*, rows: int = 60, weights: int = 5, noise: float = 0.5, precision: float = 2.0, seed: int = 0):
        """Return rows of weights that are drawn from the prior; features are correlated and of unequal size."""
        rng = np.random.default_rng(seed)
        x_NP = rng.standard_normal((rows, weights)) @ (np.eye(weights) + 0.5 * rng.standard_normal((weights, weights)))
        true = rng.standard_normal(weights) / precision**0.5
        return LinearGaussian(x_NP, x_NP @ true + noise * rng.standard_normal(rows), noise, precision)

    @property
    def curvature(self) -> Array:
        """The Hessian of the loss."""
        return self.x_NP.T @ self.x_NP / self.noise**2

    @property
    def posterior(self) -> Gaussian:
        """The weights given the rows: the mean is ridge regression's."""
        covariance = np.linalg.inv(self.curvature + self.precision * np.eye(self.x_NP.shape[1]))
        return Gaussian(covariance @ self.x_NP.T @ self.y_N / self.noise**2, covariance)

    @property
    def mean_field(self) -> Gaussian:
        """The best diagonal Gaussian by KL(q || posterior): what diagonal makers can reach, and no more."""
        exact = self.posterior
        return Gaussian(exact.mean, np.diag(1 / np.diag(np.linalg.inv(exact.covariance))))

    @property
    def log_evidence(self) -> float:
        """The log density of y with the weights integrated out."""
        covariance = self.noise**2 * np.eye(len(self.y_N)) + self.x_NP @ self.x_NP.T / self.precision
        return float(stats.multivariate_normal(np.zeros(len(self.y_N)), covariance).logpdf(self.y_N))


def check_scale(samples: Array, target: Gaussian) -> None:
    """Hold that samples [S, P] spread as much as the target, over all directions together."""
    whitened = target.whitened(samples)
    total, freedom = float((whitened**2).sum()), whitened.size
    if _two_sided(stats.chi2(freedom), total) < LEVEL:
        raise BenchError(f"scale: the standard deviation is {(total / freedom) ** 0.5:.3f} times what it should be")


def check_mean(samples: Array, target: Gaussian) -> None:
    """Hold that samples [S, P] lie around the target's mean."""
    off = float((target.whitened(samples).mean(0) ** 2).sum() * len(samples))
    if stats.chi2(samples.shape[1]).sf(off) < LEVEL:
        raise BenchError(f"mean: off by {(off / len(samples)) ** 0.5:.3f} standard deviations")


def check_shape(samples: Array, target: Gaussian) -> None:
    """Hold that whitened samples [S, P] are uncorrelated, and equally wide in every direction."""
    count, size = samples.shape
    whitened = target.whitened(samples)
    variances = (whitened**2).sum(0)
    for direction, total in enumerate(variances):
        if _two_sided(stats.chi2(count), float(total)) < LEVEL / size:
            raise BenchError(f"shape: direction {direction} is {(total / count) ** 0.5:.3f} times as wide as it should")
    pairs = np.corrcoef(whitened.T)[np.triu_indices(size, 1)] if size > 1 else np.zeros(0)
    limit = stats.norm.isf(LEVEL / 2 / max(1, pairs.size)) / (count - 3) ** 0.5
    if pairs.size and np.abs(np.arctanh(pairs)).max() > limit:
        raise BenchError(f"shape: directions correlate by {np.abs(pairs).max():.3f}")


def check_members_differ(samples_by_member: Sequence[Array], targets: Sequence[Gaussian]) -> None:
    """Hold that the members' samples [S, P] are drawn independently, sample by sample."""
    pairs = [target.whitened(own).ravel() for own, target in zip(samples_by_member, targets, strict=True)]
    correlations = np.corrcoef(pairs)
    limit = np.tanh(stats.norm.isf(LEVEL / len(pairs) ** 2) / (pairs[0].size - 3) ** 0.5)
    for first, second in zip(*np.triu_indices(len(pairs), 1), strict=True):
        if abs(correlations[first, second]) > limit:
            raise BenchError(
                f"members {first} and {second} share samples: they correlate by {correlations[first, second]:.2f}"
            )


def check_samples_differ(samples: Array, target: Gaussian) -> None:
    """Hold that no two of a member's samples [S, P] are nearer to each other than independent ones come."""
    whitened = target.whitened(samples)
    nearest = float(pdist(whitened, "sqeuclidean").min())
    pairs = len(samples) * (len(samples) - 1) / 2
    if stats.chi2(samples.shape[1]).cdf(nearest / 2) < LEVEL / pairs:
        raise BenchError(f"samples repeat: two are {nearest**0.5:.1e} standard deviations apart")


def check_one_set_of_weights(outputs_of: Callable[[Array], Array], features: int, *, tokens: int = 8) -> None:
    """Hold that a sampled linear layer is one matrix for all tokens: equal rows have equal outputs, sums add up."""
    rng = np.random.default_rng(0)
    row = rng.standard_normal(features)
    outputs = outputs_of(np.tile(row, (tokens, 1)))
    size = np.abs(outputs).max()
    if np.abs(outputs - outputs[0]).max() > 1e-9 * size:
        raise BenchError("a sample is not one set of weights: equal tokens have different outputs")
    alone = outputs_of(row[None])
    if np.abs(alone - outputs[0]).max() > 1e-9 * size:
        raise BenchError("a sample is not one set of weights: it depends on how many tokens there are, or on the call")


def check_all(samples: Array, target: Gaussian) -> None:
    """Hold everything that concerns one member's samples [S, P]."""
    check_mean(samples, target)
    check_scale(samples, target)
    check_shape(samples, target)
    check_samples_differ(samples, target)


def _two_sided(distribution: stats.rv_continuous, value: float) -> float:
    return float(2 * min(distribution.cdf(value), distribution.sf(value)))
