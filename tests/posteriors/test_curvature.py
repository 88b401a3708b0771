"""The curvature against autograd's exact Hessian, which a linear layer's Gauss-Newton matrix is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ensemble_uq_llm.posteriors.laplace.curvature import contrasts, curvature_of

HIDDEN = 4


def layer(classes: int, rows: int = 30, seed: int = 0, *, one_kind: bool = False):
    """Features, weights, probabilities and labels; with `one_kind` all rows have the same probabilities."""
    rng = np.random.default_rng(seed)
    features_NH = rng.standard_normal((rows, HIDDEN))
    weights_CH = rng.standard_normal((classes, HIDDEN))
    logits_NC = np.tile(rng.standard_normal(classes), (rows, 1)) if one_kind else features_NH @ weights_CH.T
    probs_NC = torch.tensor(logits_NC).softmax(1).numpy()
    return features_NH, weights_CH, probs_NC, rng.integers(0, classes, rows)


def as_matrix(curvature, classes: int) -> np.ndarray:
    """The curvature written out over all C x H weights."""
    values = curvature.eigenvalues
    columns = [contrasts(classes) @ curvature.to_weights(one.reshape(values.shape)) for one in np.eye(values.size)]
    vectors = np.stack([column.ravel() for column in columns], axis=1)
    return (vectors * values.ravel()) @ vectors.T


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_contrasts_are_orthonormal_and_blind_to_what_all_classes_share(classes):
    basis_CE = contrasts(classes)
    np.testing.assert_allclose(basis_CE.T @ basis_CE, np.eye(classes - 1), atol=1e-15)
    np.testing.assert_allclose(basis_CE.sum(0), 0, atol=1e-15)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_in_full_it_is_the_hessian_of_the_loss(classes):
    features_NH, weights_CH, probs_NC, labels_N = layer(classes)

    def loss(weights: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(torch.tensor(features_NH) @ weights.T, torch.tensor(labels_N), reduction="sum")

    hessian = torch.autograd.functional.hessian(loss, torch.tensor(weights_CH)).reshape(classes * HIDDEN, -1).numpy()
    found = as_matrix(curvature_of(features_NH, probs_NC), classes)
    np.testing.assert_allclose(found, hessian, atol=1e-12 * np.abs(hessian).max())


def test_a_class_that_a_row_lacks_adds_nothing_for_it():
    features_NH, _, probs_NC, _ = layer(3)
    probs_NC[:10, 2] = 0
    probs_NC[:10] /= probs_NC[:10].sum(1, keepdims=True)
    found = as_matrix(curvature_of(features_NH[:10], probs_NC[:10]), 3).reshape(3, HIDDEN, 3, HIDDEN)
    np.testing.assert_allclose(found[2], 0, atol=1e-12)
    two = as_matrix(curvature_of(features_NH[:10], probs_NC[:10, :2]), 2).reshape(2, HIDDEN, 2, HIDDEN)
    np.testing.assert_allclose(found[:2, :, :2], two, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_as_a_kronecker_product_it_is_exact_where_all_rows_have_the_same_probabilities(classes):
    features_NH, _, probs_NC, _ = layer(classes, one_kind=True)
    full, product = (curvature_of(features_NH, probs_NC, largest=side) for side in (1000, 0))
    assert (full.structure, product.structure) == ("full", "kronecker")
    np.testing.assert_allclose(as_matrix(product, classes), as_matrix(full, classes), atol=1e-11)


def test_the_trace_of_the_kronecker_product_is_near_else_and_the_size_decides():
    features_NH, _, probs_NC, _ = layer(4, rows=3000)
    full, product = (curvature_of(features_NH, probs_NC, largest=side) for side in (3 * HIDDEN, 3 * HIDDEN - 1))
    assert (full.structure, product.structure) == ("full", "kronecker")
    assert 0.5 < product.eigenvalues.sum() / full.eigenvalues.sum() < 2
    assert np.abs(as_matrix(product, 4) - as_matrix(full, 4)).max() > 0.01 * full.eigenvalues.max()


@pytest.mark.parametrize("largest", [0, 1000])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_spread_is_that_of_weights_of_these_variances(classes, largest):
    features_NH, _, probs_NC, _ = layer(classes)
    curvature = curvature_of(features_NH, probs_NC, largest=largest)
    variances = 1 / (curvature.eigenvalues + 0.7)
    covariance_PP = np.linalg.inv(as_matrix(curvature, classes) + 0.7 * np.eye(classes * HIDDEN))
    design = np.einsum("ce,nh->nech", contrasts(classes), features_NH).reshape(len(features_NH), classes - 1, -1)
    expected_NEE = design @ covariance_PP @ design.transpose(0, 2, 1)
    np.testing.assert_allclose(curvature.spread(features_NH, variances), expected_NEE, atol=1e-12)


def test_no_eigenvalue_is_negative_where_there_are_fewer_rows_than_weights():
    features_NH, _, probs_NC, _ = layer(3, rows=2)
    for largest in (0, 1000):
        assert curvature_of(features_NH, probs_NC, largest=largest).eigenvalues.min() >= 0
