"""Moments along a trajectory: against NumPy, and on a quadratic whose stationary covariance is known."""

import numpy as np
import pytest
import torch

from ensemble_uq_llm.models.taps.moments import MemberMoments


def noted(snapshots: torch.Tensor, *, rank: int = 5) -> MemberMoments:
    moments = MemberMoments(rank=rank)
    for each in snapshots:
        moments.note({"w": each})
    return moments


def test_they_are_mean_and_variance():
    snapshots = torch.randn(40, 3, 2, generator=torch.Generator().manual_seed(0)) * 0.1 + 7
    moments = noted(snapshots)
    np.testing.assert_allclose(moments.means["w"], snapshots.double().mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.variances()["w"], snapshots.double().var(0), rtol=1e-4)
    assert (moments.count, len(moments.deviations)) == (40, 5)


def test_deviations_are_from_the_mean_as_it_was():
    snapshots = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    found = [each["w"] for each in noted(snapshots, rank=3).deviations]
    for deviation, last in zip(found, (4, 5, 6), strict=True):
        torch.testing.assert_close(deviation, snapshots[last - 1] - snapshots[:last].mean(0))


def test_small_variances_beside_large_means_survive_also_of_bf16_weights():
    """The difference of large squares, in float32, would be noise."""
    snapshots = 1000 + torch.arange(64).double().remainder(2) * 0.25
    naive = (snapshots.float() ** 2).mean() - snapshots.float().mean() ** 2
    assert abs(float(naive) - 0.015625) > 0.005
    assert float(noted(snapshots[:, None].float()).variances()["w"]) == pytest.approx(0.015625 * 64 / 63, rel=1e-4)
    assert noted(torch.ones(3, 2, dtype=torch.bfloat16)).means["w"].dtype == torch.float32


def test_one_snapshot_has_no_variance():
    moments = noted(torch.ones(1, 3))
    assert not moments.variances()["w"].any()
    assert not moments.deviations[0]["w"].any()


def test_a_copy_is_left_alone_and_factors_go_through():
    moments = noted(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    copy, before = moments.copy(), moments.means["w"].clone()
    moments.note({"w": torch.full((3,), 50.0)})
    assert copy.count == 5
    assert torch.equal(copy.means["w"], before)
    double = copy.scaled(lambda name: {"w": 2.0}[name])
    torch.testing.assert_close(double.means["w"], 2 * before)
    torch.testing.assert_close(double.variances()["w"], 4 * copy.variances()["w"])
    torch.testing.assert_close(double.deviations[-1]["w"], 2 * copy.deviations[-1]["w"])


def test_on_a_quadratic_they_are_the_stationary_covariance():
    """SGD of rate r on a/2 w^2 with gradient noise of variance s^2 has the variance r s^2 / (a (2 - r a))."""
    rate, noise = 0.1, 0.7
    curvatures = torch.tensor([1.0, 3.0, 8.0]).repeat(200, 1)  # 200 copies of each, beside each other
    generator = torch.Generator().manual_seed(0)
    weights = torch.zeros(200, 3)
    moments = MemberMoments(rank=0)
    for step in range(4000):
        weights = weights - rate * (curvatures * weights + noise * torch.randn(200, 3, generator=generator))
        if step >= 200 and step % 20 == 0:
            moments.note({"w": weights})
    found = moments.variances()["w"].mean(0)
    expected = rate * noise**2 / (curvatures[0] * (2 - rate * curvatures[0]))
    # 38,000 points of each, of which neighbours correlate by (1 - r a)^20 = .12 at most: an error below 1%.
    np.testing.assert_allclose(found, expected, rtol=0.03)
