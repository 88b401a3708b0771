"""The bench itself: its closed forms by other ways, right samples pass, and every planted error is caught."""

import numpy as np
import pytest
import torch
from bench import (
    BenchError,
    Gaussian,
    LinearGaussian,
    check_all,
    check_mean,
    check_members_differ,
    check_one_set_of_weights,
    check_samples_differ,
    check_scale,
    check_shape,
    kl,
    moments_of,
    wasserstein,
)
from scipy import integrate, stats
from sklearn.linear_model import Ridge

CASE = LinearGaussian.drawn()
TARGET = CASE.posterior


def drawn(samples: int = 400, seed: int = 1) -> np.ndarray:
    return TARGET.draw(samples, np.random.default_rng(seed))


def test_the_posterior_is_that_of_ridge_regression_and_of_bayes_rule():
    ridge = Ridge(alpha=CASE.precision * CASE.noise**2, fit_intercept=False).fit(CASE.x_NP, CASE.y_N)
    np.testing.assert_allclose(TARGET.mean, ridge.coef_, rtol=1e-9)
    one = LinearGaussian.drawn(rows=3, weights=1)

    def joint(weight: float) -> float:
        prior = stats.norm(0, one.precision**-0.5).pdf(weight)
        return float(prior * stats.norm(one.x_NP[:, 0] * weight, one.noise).pdf(one.y_N).prod())

    evidence = integrate.quad(joint, -10, 10, epsabs=1e-14)[0]
    variance = integrate.quad(lambda w: (w - one.posterior.mean[0]) ** 2 * joint(w), -10, 10, epsabs=1e-14)[0]
    assert one.log_evidence == pytest.approx(np.log(evidence), abs=1e-8)
    assert one.posterior.covariance[0, 0] == pytest.approx(variance / evidence, rel=1e-6)


def test_the_distances():
    other = LinearGaussian.drawn(seed=5).posterior
    torch_kl = torch.distributions.kl_divergence(
        *(
            torch.distributions.MultivariateNormal(torch.tensor(each.mean), torch.tensor(each.covariance))
            for each in (TARGET, other)
        )
    )
    assert kl(TARGET, other) == pytest.approx(float(torch_kl), rel=1e-9)
    assert kl(TARGET, TARGET) == pytest.approx(0, abs=1e-12)
    assert wasserstein(TARGET, TARGET) == pytest.approx(0, abs=1e-6)
    # Of covariances that commute it is the distance of the roots.
    wide = Gaussian(TARGET.mean + 1, 4 * TARGET.covariance)
    assert wasserstein(TARGET, wide) == pytest.approx((5 + np.trace(TARGET.covariance)) ** 0.5, rel=1e-9)


def test_the_mean_field_optimum_is_the_best_diagonal():
    best = kl(CASE.mean_field, TARGET)
    rng = np.random.default_rng(0)
    for _ in range(50):
        changed = CASE.mean_field.covariance * np.exp(0.2 * rng.standard_normal(5))[:, None]
        assert kl(Gaussian(TARGET.mean, changed), TARGET) > best


def test_right_samples_pass():
    for seed in range(100):
        check_all(drawn(seed=seed), TARGET)
    check_members_differ([drawn(seed=seed) for seed in range(5)], [TARGET] * 5)


PLANTED = {
    "scale off by the root of 2": (
        check_scale,
        lambda own: TARGET.mean + 2**0.5 * (own - TARGET.mean),
        "scale: .* 1[.]",
    ),
    "half the covariance": (check_scale, lambda own: TARGET.mean + (own - TARGET.mean) / 2**0.5, "scale: .* 0[.]"),
    "the mean elsewhere": (check_mean, lambda own: own + TARGET.covariance.diagonal() ** 0.5, "mean: off"),
    "one direction too wide": (
        check_shape,
        lambda own: TARGET.mean + (own - TARGET.mean) * np.array([1, 1, 2, 1, 1]),
        "shape: direction",
    ),
    "the covariance's diagonal alone": (
        check_shape,
        lambda own: TARGET.mean + TARGET.whitened(own) * TARGET.covariance.diagonal() ** 0.5,
        "shape: direct",
    ),
    "the same sample again and again": (
        check_samples_differ,
        lambda own: np.tile(own[:1], (len(own), 1)),
        "samples repeat",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("samples", [40, 400])
def test_a_planted_error_is_caught(name, samples):
    check, planted, message = PLANTED[name]
    right = drawn(samples)
    check(right, TARGET)
    with pytest.raises(BenchError, match=message):
        check(planted(right), TARGET)


def test_samples_that_members_share_are_caught():
    shared = TARGET.whitened(drawn(40))
    targets = [LinearGaussian.drawn(seed=seed).posterior for seed in range(3)]
    own = [each.mean + shared @ np.linalg.cholesky(each.covariance).T for each in targets]
    with pytest.raises(BenchError, match="members 0 and 1 share samples"):
        check_members_differ(own, targets)


def test_a_sample_drawn_anew_for_every_token_or_call_is_caught():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, 5))
    check_one_set_of_weights(lambda x_TI: x_TI @ weights.T, 5)
    with pytest.raises(BenchError, match="equal tokens have different outputs"):
        check_one_set_of_weights(lambda x_TI: np.stack([x @ rng.standard_normal((5, 3)) for x in x_TI]), 5)
    with pytest.raises(BenchError, match="how many tokens there are, or on the call"):
        check_one_set_of_weights(lambda x_TI: x_TI @ rng.standard_normal((5, 3)), 5)


def test_moments_of_many_samples_come_near():
    assert wasserstein(moments_of(drawn(20_000)), TARGET) < 0.05 * np.trace(TARGET.covariance) ** 0.5
