import pytest
import torch
from weight_bench import check_moments

from ensemble_uq_llm.posteriors.noise_directions import SMALLEST, noise_directions, with_noise


def adapter(*, out=12, rank=4, inputs=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, inputs, generator=generator), torch.randn(out, rank, generator=generator)


def test_the_update_has_noise_of_one_size_in_every_direction_that_it_can_have():
    """The covariance of dW = s B A_s over samples is s^2 sigma^2 U U' (x) I."""
    (a_RI, b_OR), scale, sigma, samples = adapter(), 2.0, 0.3, 4000
    directions_Rk = noise_directions(a_RI, b_OR)
    generator = torch.Generator().manual_seed(1)
    updates_SOI = torch.stack(
        [scale * b_OR.double() @ with_noise(a_RI, directions_Rk, sigma, generator).double() for _ in range(samples)]
    ) - scale * (b_OR.double() @ a_RI.double())
    u_OR, _, _ = torch.linalg.svd(b_OR.double(), full_matrices=False)
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


def test_sigma_zero_is_the_adapter_bit_for_bit():
    a_RI, b_OR = adapter()
    assert torch.equal(with_noise(a_RI, noise_directions(a_RI, b_OR), 0.0, torch.Generator()), a_RI)


def test_one_generator_draws_one_noise_for_every_sigma():
    a_RI, b_OR = adapter()
    directions_Rk = noise_directions(a_RI, b_OR)
    one, two = (with_noise(a_RI, directions_Rk, sigma, torch.Generator().manual_seed(3)) for sigma in (0.1, 0.2))
    torch.testing.assert_close(two - a_RI, 2 * (one - a_RI), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("condition", [1.0, 0.5 / SMALLEST])
def test_the_rotation_is_exact_in_float64_and_the_noise_after_rounding_nearly(condition):
    u_OR, _, vt_RR = torch.linalg.svd(torch.randn(12, 4, dtype=torch.float64), full_matrices=False)
    b_OR = (u_OR * torch.logspace(0, -torch.log10(torch.tensor(condition)).item(), 4, dtype=torch.float64)) @ vt_RR
    a_RI = torch.randn(4, 10)
    directions_Rk = noise_directions(a_RI, b_OR)
    rotated = b_OR @ directions_Rk
    assert (rotated.t() @ rotated - torch.eye(4, dtype=torch.float64)).abs().max() < 1e-6
    exact = with_noise(a_RI.double(), directions_Rk, 0.3, torch.Generator().manual_seed(1))
    rounded = with_noise(a_RI, directions_Rk, 0.3, torch.Generator().manual_seed(1))
    assert (b_OR @ (rounded.double() - exact)).norm() / (b_OR @ (exact - a_RI.double())).norm() < 1e-3


def test_directions_that_the_adapter_hardly_changes_have_none():
    a_RI, b_OR = adapter()
    u_OR, d_R, vt_RR = torch.linalg.svd(b_OR.double(), full_matrices=False)
    d_R[-1] = d_R[0] * SMALLEST / 2
    assert noise_directions(a_RI, (u_OR * d_R) @ vt_RR).shape == (4, 3)


def test_more_ranks_than_outputs_leave_as_many_directions_as_outputs():
    """The answer head with two answers."""
    a_RI, b_OR = adapter(out=2, rank=8)
    assert noise_directions(a_RI, b_OR).shape == (8, 2)


def test_a_lower_rank_filled_up_with_zeros_has_the_noise_that_it_has_alone():
    a_RI, b_OR = adapter()
    wide_a, wide_b = torch.zeros(7, 10), torch.zeros(12, 7)
    wide_a[:4], wide_b[:, :4] = a_RI, b_OR
    alone, filled = (
        with_noise(a, noise_directions(a, b), 0.3, torch.Generator().manual_seed(2))
        for a, b in ((a_RI, b_OR), (wide_a, wide_b))
    )
    assert torch.equal(filled[:4], alone)
    assert not filled[4:].any()


def test_a_layer_that_is_not_adapted_has_none_and_an_untrained_one_is_told_apart():
    a_RI, b_OR = adapter()
    assert noise_directions(torch.zeros_like(a_RI), torch.zeros_like(b_OR)).shape == (4, 0)
    assert noise_directions(a_RI, torch.zeros_like(b_OR)) is None
    nothing = torch.zeros_like(a_RI)
    assert torch.equal(with_noise(nothing, torch.zeros(4, 0), 0.3, torch.Generator()), nothing)
