"""The posterior of a softmax layer against the exact Hessian's inverse, by the bench; planted errors are caught."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bench import BenchError, Gaussian, check_all, check_scale
from scipy import special

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
