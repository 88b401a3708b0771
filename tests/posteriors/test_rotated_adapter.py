import pytest
import torch
from weight_bench import check_moments

from ensemble_uq_llm.posteriors.rotated_adapter import rotated


def adapter(*, out=12, rank=4, inputs=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, inputs, generator=generator), torch.randn(out, rank, generator=generator)


def conditioned(a_RI, b_OR, condition):
    """Return the adapter with B's singular values from 1 down to 1 / condition."""
    u_OR, d_R, vt_RR = torch.linalg.svd(b_OR.double(), full_matrices=False)
    return a_RI, (u_OR * torch.tensor(condition, dtype=torch.float64) ** -torch.linspace(0, 1, len(d_R))) @ vt_RR


def update(a_RI, b_OR):
    return b_OR.double() @ a_RI.double()


def seed(number):
    return torch.Generator().manual_seed(number)


def test_the_update_has_noise_of_one_size_in_every_direction_that_it_can_have():
    """The covariance of dW = s B A_s over samples is s^2 sigma^2 U U' (x) I."""
    (a_RI, b_OR), scale, sigma, samples = conditioned(*adapter(), 1e3), 2.0, 0.3, 4000
    turned, generator = rotated(a_RI, b_OR), seed(1)
    updates_SOI = torch.stack([scale * update(*turned.with_noise(sigma, generator)) for _ in range(samples)])
    updates_SOI -= scale * update(a_RI, b_OR)
    u_OR, _, _ = torch.linalg.svd(b_OR, full_matrices=False)
    expected_OO = (scale * sigma) ** 2 * u_OR @ u_OR.t()
    count = samples * a_RI.shape[1]
    found_OO = torch.einsum("soi,spi->op", updates_SOI, updates_SOI) / count
    spread_OO = (expected_OO.square() + torch.outer(expected_OO.diag(), expected_OO.diag())).sqrt() / count**0.5
    assert ((found_OO - expected_OO).abs() / spread_OO).max() < 5
    across_II = torch.einsum("soi,soj->ij", updates_SOI, updates_SOI) / samples
    wanted_II = (scale * sigma) ** 2 * 4 * torch.eye(a_RI.shape[1])  # the trace of U U' is the rank
    assert (across_II - wanted_II).abs().max() < 5 * (scale * sigma) ** 2 * (2 * 4 / samples) ** 0.5
    z_SD = torch.einsum("or,soi->sri", u_OR, updates_SOI).flatten(1)
    check_moments(z_SD, mean_D=torch.zeros(1), variance_D=torch.full((1,), (scale * sigma) ** 2))


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e9])
def test_the_rotation_leaves_the_update_as_it_is_also_in_float32(condition):
    a_RI, b_OR = conditioned(*adapter(), condition)
    turned = rotated(a_RI, b_OR)
    exact_OI = update(a_RI, b_OR)
    assert (update(turned.a_RI, turned.b_OR) - exact_OI).norm() / exact_OI.norm() < 1e-14
    assert (update(*turned.with_noise(0.0, seed(0))) - exact_OI).norm() / exact_OI.norm() < 1e-6


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e5])
def test_noise_makes_no_large_numbers_that_cancel_however_unlike_the_directions_are(condition):
    """So that products in float32 are as exact as the adapter's own."""
    a_RI, b_OR = conditioned(*adapter(), condition)
    noisy_a, noisy_b = rotated(a_RI, b_OR).with_noise(0.3, seed(1))
    x_I = torch.randn(10, generator=seed(2))
    exact_O = noisy_b.double() @ (noisy_a.double() @ x_I.double())
    assert ((noisy_b @ (noisy_a @ x_I)).double() - exact_O).norm() / exact_O.norm() < 1e-6
    assert noisy_a.abs().max() < 5 * (a_RI.abs().max() + 0.3)


def test_one_generator_draws_one_noise_for_every_sigma():
    turned = rotated(*adapter())
    one, two = (turned.with_noise(sigma, seed(3))[0].double() - turned.a_RI for sigma in (0.1, 0.2))
    torch.testing.assert_close(two, 2 * one, rtol=1e-4, atol=1e-6)


def test_directions_that_are_mere_rounding_have_no_noise_and_keep_their_update():
    a_RI, b_OR = conditioned(*adapter(), 1e12)
    turned = rotated(a_RI, b_OR)
    assert turned.directions == 2  # of singular values 1, 1e-4, 1e-8 and 1e-12
    noisy_a, _ = turned.with_noise(0.3, seed(0))
    assert torch.equal(noisy_a[2:], turned.a_RI[2:].float())


def test_more_ranks_than_outputs_leave_as_many_directions_as_outputs():
    """The answer head with two answers."""
    turned = rotated(*adapter(out=2, rank=8))
    assert (turned.directions, turned.a_RI.shape, turned.b_OR.shape) == (2, (8, 10), (2, 8))
    assert not turned.b_OR[:, 2:].any()


def test_a_lower_rank_filled_up_with_zeros_has_the_noise_that_it_has_alone():
    a_RI, b_OR = adapter()
    wide_a, wide_b = torch.zeros(7, 10), torch.zeros(12, 7)
    wide_a[:4], wide_b[:, :4] = a_RI, b_OR
    (a, b), (filled_a, filled_b) = (
        rotated(*each).with_noise(0.3, seed(2)) for each in ((a_RI, b_OR), (wide_a, wide_b))
    )
    assert torch.equal(filled_a[:4], a)
    assert torch.equal(filled_b[:, :4], b)
    assert not filled_a[4:].any()


def test_a_layer_that_is_not_adapted_has_none_and_an_untrained_one_is_told_apart():
    a_RI, b_OR = adapter()
    nothing = rotated(torch.zeros_like(a_RI), torch.zeros_like(b_OR))
    assert nothing.directions == 0
    assert not any(each.any() for each in nothing.with_noise(0.3, seed(0)))
    assert rotated(a_RI, torch.zeros_like(b_OR)) is None
