"""Expected probabilities against adaptive quadrature and many samples."""

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from ensemble_uq_llm.posteriors.laplace.curvature import contrasts
from ensemble_uq_llm.posteriors.laplace.gaussian_logits import expected_probs


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def two_classes(mean: float, variance: float) -> float:
    """The second class' probability, where the logit difference has this mean and variance."""
    found = expected_probs(np.array([[mean]]) / 2**0.5, np.array([[[variance / 2]]]), generator=generator())
    assert found.sum() == pytest.approx(1)
    return float(found[0, 1])


@pytest.mark.parametrize(
    ("variance", "tolerance"), [(0.0, 1e-15), (0.1, 1e-13), (1.0, 1e-9), (9.0, 2e-5), (100.0, 0.015)]
)
@pytest.mark.parametrize("mean", [-6.0, -0.7, 0.0, 2.0])
def test_of_two_classes_it_is_the_integral(mean, variance, tolerance):
    def integrand(z: float) -> float:
        return float(special.expit(mean + variance**0.5 * z) * stats.norm.pdf(z))

    expected = integrate.quad(integrand, -12, 12, epsabs=1e-14, points=[-mean / max(variance, 1) ** 0.5], limit=500)[0]
    assert two_classes(mean, variance) == pytest.approx(expected, abs=tolerance)


def gaussian(classes: int, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    roots = rng.standard_normal((rows, classes - 1, classes - 1))
    return rng.standard_normal((rows, classes - 1)), roots @ roots.transpose(0, 2, 1)


def test_of_more_classes_it_is_the_mean_over_samples():
    mean_NE, covariance_NEE = gaussian(4)
    rng = np.random.default_rng(0)
    found = expected_probs(mean_NE, covariance_NEE, generator=generator())
    for row, (mean, covariance) in enumerate(zip(mean_NE, covariance_NEE, strict=True)):
        drawn = rng.multivariate_normal(mean, covariance, 400_000) @ contrasts(4).T
        np.testing.assert_allclose(found[row], special.softmax(drawn, axis=1).mean(0), atol=0.01)


def test_sampling_and_quadrature_agree_on_two_classes_beside_one_that_is_lacking():
    """Of three classes a row has two: the logits of those are what two classes would have."""
    mean_C, covariance_CC = np.array([0.3, -0.8, 5.0]), np.diag([1.0, 0.5, 2.0])
    basis_CE = contrasts(3)
    found = expected_probs(
        (mean_C @ basis_CE)[None],
        (basis_CE.T @ covariance_CC @ basis_CE)[None],
        generator=generator(),
        options_N=np.array([2]),
    )
    assert found[0, 2] == 0
    assert found[0, 1] == pytest.approx(two_classes(-1.1, 1.5), abs=0.005)


@pytest.mark.parametrize("classes", [2, 5])
def test_without_variance_it_is_the_softmax(classes):
    logits_NC = np.random.default_rng(0).standard_normal((6, classes))
    none = np.zeros((6, classes - 1, classes - 1))
    found = expected_probs(logits_NC @ contrasts(classes), none, generator=generator())
    np.testing.assert_allclose(found, special.softmax(logits_NC, axis=1), atol=1e-12)


def test_no_rows():
    assert expected_probs(np.empty((0, 2)), np.empty((0, 2, 2)), generator=generator()).shape == (0, 3)
