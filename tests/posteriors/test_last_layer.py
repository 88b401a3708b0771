"""The posterior of a softmax layer against the exact Hessian's inverse, by the bench; planted errors are caught."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bench import BenchError, Gaussian, check_all, check_scale, wasserstein
from scipy import optimize, special

from ensemble_uq_llm.posteriors.laplace.curvature import contrasts
from ensemble_uq_llm.posteriors.laplace.last_layer import LayerRows, fit_last_layer

HIDDEN, ROWS = 3, 40


def rows_of(classes: int, seed: int = 0) -> tuple[LayerRows, np.ndarray]:
    rng = np.random.default_rng(seed)
    features_NH = rng.standard_normal((ROWS, HIDDEN))
    weights_CH = rng.standard_normal((classes, HIDDEN))
    log_probs_NC = special.log_softmax(features_NH @ weights_CH.T, axis=1)
    labels_N = np.array([rng.choice(classes, p=np.exp(each)) for each in log_probs_NC])
    return LayerRows(features_NH=features_NH, log_probs_NC=log_probs_NC, labels_N=labels_N), weights_CH


def exact(rows: LayerRows, weights_CH: np.ndarray, precision: float) -> Gaussian:
    """The Gaussian of the contrasts of the weights, by autograd's Hessian of the loss and the prior."""

    def loss(weights_EH: torch.Tensor) -> torch.Tensor:
        logits = torch.tensor(rows.features_NH) @ (torch.tensor(basis_CE) @ weights_EH).T
        data = F.cross_entropy(logits, torch.tensor(rows.labels_N), reduction="sum")
        return data + precision / 2 * (weights_EH**2).sum()

    basis_CE = contrasts(len(weights_CH))
    weights_EH = basis_CE.T @ weights_CH
    hessian = torch.autograd.functional.hessian(loss, torch.tensor(weights_EH)).reshape(weights_EH.size, -1).numpy()
    return Gaussian(weights_EH.ravel(), np.linalg.inv(hessian))


def samples_of(posterior, weights_CH: np.ndarray, count: int = 600) -> np.ndarray:
    generator = torch.Generator().manual_seed(3)
    drawn = [weights_CH + posterior.deviation(generator) for _ in range(count)]
    return np.stack([(contrasts(len(weights_CH)).T @ each).ravel() for each in drawn])


@pytest.mark.parametrize("classes", [2, 4])
def test_samples_are_those_of_the_exact_hessian(classes):
    rows, weights_CH = rows_of(classes)
    posterior = fit_last_layer(rows, weights_CH)
    target = exact(rows, weights_CH, posterior.precision)
    samples = samples_of(posterior, weights_CH)
    check_all(samples, target)
    with pytest.raises(BenchError, match=r"scale: .* 1\.4"):
        check_scale(target.mean + 2**0.5 * (samples - target.mean), target)
    with pytest.raises(BenchError, match="scale"):  # a prior forgotten
        check_scale(samples_of(fit_last_layer(rows, weights_CH, precision=20.0), weights_CH), target)


def test_samples_leave_alone_what_all_classes_share():
    rows, weights_CH = rows_of(3)
    deviation_CH = fit_last_layer(rows, weights_CH).deviation(torch.Generator().manual_seed(0))
    np.testing.assert_allclose(deviation_CH.sum(0), 0, atol=1e-14)


@pytest.mark.parametrize("classes", [2, 4])
def test_expected_probabilities_are_the_mean_over_samples(classes):
    rows, weights_CH = rows_of(classes)
    posterior = fit_last_layer(rows, weights_CH)
    generator = torch.Generator().manual_seed(1)
    logits_NC = rows.features_NH @ weights_CH.T
    found = posterior.expected_probs(rows.features_NH, logits_NC, generator=generator)
    sampled = np.mean(
        [
            special.softmax(rows.features_NH @ (weights_CH + posterior.deviation(generator)).T, axis=1)
            for _ in range(20_000)
        ],
        axis=0,
    )
    np.testing.assert_allclose(found, sampled, atol=0.012)
    assert np.abs(found - special.softmax(logits_NC, axis=1)).max() > 0.03


def test_the_evidence_finds_the_prior_that_weights_were_drawn_from():
    """Of 60 weights, each drawn from a prior of precision 4, within its error."""
    rng = np.random.default_rng(0)
    features_NH = rng.standard_normal((4000, 60))
    weights_CH = contrasts(2) @ rng.standard_normal((1, 60)) / 2
    log_probs_NC = special.log_softmax(features_NH @ weights_CH.T, axis=1)
    labels_N = (rng.random(4000) < np.exp(log_probs_NC[:, 1])).astype(np.int64)
    posterior = fit_last_layer(
        LayerRows(features_NH=features_NH, log_probs_NC=log_probs_NC, labels_N=labels_N), weights_CH
    )
    assert 2.5 < posterior.precision < 6.5
    assert posterior.facts["precision_by"] == "evidence"
    assert posterior.facts["precision_at_edge"] is False
    assert 50 < posterior.facts["effective_weights"] < 60


def test_a_large_layer_says_that_it_is_a_product():
    rows, weights_CH = rows_of(4)
    facts = fit_last_layer(rows, weights_CH, largest=8, precision=1.5).facts
    assert (facts["structure"], facts["precision"], facts["precision_by"]) == ("kronecker", 1.5, "setting")
    assert fit_last_layer(rows, weights_CH, largest=9).facts["structure"] == "full"


def integrated(rows: LayerRows, near: Gaussian, precision: float) -> Gaussian:
    """Mean and covariance of the true posterior of two classes and two features, on a grid of eight deviations."""
    axis = np.linspace(-8, 8, 121)
    steps_GP = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    grid_GP = near.mean + steps_GP @ np.linalg.cholesky(near.covariance).T
    log_density = -precision / 2 * (grid_GP**2).sum(1)
    for feature, label in zip(rows.features_NH, rows.labels_N, strict=True):
        log_density += special.log_expit((2 * label - 1) * 2**0.5 * (grid_GP @ feature))
    density = special.softmax(log_density)
    mean = density @ grid_GP
    return Gaussian(mean, (grid_GP - mean).T @ ((grid_GP - mean) * density[:, None]))


def at_the_optimum(examples: int, seed: int) -> tuple[LayerRows, np.ndarray]:
    """Rows of two classes, and the weights that the posterior of a prior of precision 1 has its peak at."""
    rng = np.random.default_rng(seed)
    features_NH = rng.standard_normal((examples, 2))
    labels_N = (rng.random(examples) < special.expit(features_NH @ [1.0, -0.5])).astype(np.int64)

    def loss(weights: np.ndarray) -> float:
        likelihood = special.log_expit((2.0 * labels_N - 1) * 2**0.5 * (features_NH @ weights)).sum()
        return float((weights**2).sum() / 2 - likelihood)

    weights_CH = contrasts(2) @ optimize.minimize(loss, np.zeros(2), tol=1e-12).x[None]
    log_probs_NC = special.log_softmax(features_NH @ weights_CH.T, axis=1)
    return LayerRows(features_NH=features_NH, log_probs_NC=log_probs_NC, labels_N=labels_N), weights_CH


def distance_to_the_truth(examples: int, *, covariance_times: float = 1.0, seeds: int = 4) -> float:
    """Wasserstein's distance of the fitted Gaussian, in deviations of the true posterior; the mean over data sets."""
    found = []
    for seed in range(seeds):
        rows, weights_CH = at_the_optimum(examples, seed)
        posterior = fit_last_layer(rows, weights_CH, precision=1.0)
        columns = [posterior.curvature.to_weights(each).ravel() for each in np.eye(2)]
        vectors = np.stack(columns, axis=1)
        covariance = (vectors / (posterior.curvature.eigenvalues + posterior.precision)) @ vectors.T
        fitted = Gaussian((contrasts(2).T @ weights_CH).ravel(), covariance_times * covariance)
        true = integrated(rows, fitted, precision=1.0)
        found.append(wasserstein(fitted, true) / np.trace(true.covariance) ** 0.5)
    return float(np.mean(found))


def test_it_comes_near_the_true_posterior_with_the_root_of_the_rows():
    """Laplace's error in deviations falls as N^(-1/2): by half for four times the rows; a wrong scale stays."""
    first, second, third = (distance_to_the_truth(examples) for examples in (80, 320, 1280))
    assert 1.6 < first / second < 2.5
    assert 1.6 < second / third < 2.5
    assert distance_to_the_truth(1280, covariance_times=2.0) > 10 * third
