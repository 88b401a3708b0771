"""The evidence against Bayesian linear regression: its density in closed form, and scikit-learn's maximiser."""

import numpy as np
import pytest
from bench import LinearGaussian
from scipy import stats
from sklearn.linear_model import BayesianRidge

from ensemble_uq_llm.posteriors.laplace.evidence import HIGHEST, best_precision, effective_weights, log_evidence


def at_its_optimum(case: LinearGaussian) -> dict:
    mean = case.posterior.mean
    likelihood = stats.norm(case.x_NP @ mean, case.noise).logpdf(case.y_N).sum()
    return {
        "log_likelihood": float(likelihood),
        "squared_norm": float(mean @ mean),
        "eigenvalues": np.linalg.eigvalsh(case.curvature),
    }


@pytest.mark.parametrize("precision", [0.01, 1.0, 300.0])
def test_of_a_linear_gaussian_layer_it_is_exact(precision):
    case = LinearGaussian.drawn(precision=precision)
    [found] = log_evidence(**at_its_optimum(case), precisions=np.array([precision]))
    assert found == pytest.approx(case.log_evidence, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_its_maximiser_is_that_of_bayesian_ridge_regression(seed):
    """Weights and precision are fitted in turn, the noise known; scikit-learn's own noise is taken for that."""
    drawn = LinearGaussian.drawn(seed=seed, rows=80)
    ridge = BayesianRidge(
        fit_intercept=False, tol=1e-13, max_iter=5000, alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0
    ).fit(drawn.x_NP, drawn.y_N)
    precision = 1.0
    for _ in range(200):
        case = LinearGaussian(drawn.x_NP, drawn.y_N, ridge.alpha_**-0.5, precision)
        precision = best_precision(**at_its_optimum(case)).precision
    assert precision == pytest.approx(ridge.lambda_, rel=1e-4)
    gamma = effective_weights(np.linalg.eigvalsh(case.curvature), precision)
    assert gamma == pytest.approx(precision * (ridge.coef_ @ ridge.coef_), rel=1e-4)  # MacKay's fixed point


def test_the_best_precision_is_better_than_any_other():
    given = at_its_optimum(LinearGaussian.drawn())
    peak = best_precision(**given)
    others = log_evidence(**given, precisions=np.geomspace(1e-6, 1e8, 5001))
    assert peak.log_evidence >= others.max()
    assert not peak.at_edge


def test_weights_of_nothing_have_no_best_precision():
    peak = best_precision(log_likelihood=-5.0, squared_norm=0.0, eigenvalues=np.ones(3))
    assert peak.at_edge
    assert peak.precision == pytest.approx(HIGHEST)
