"""Steps of IVON: their fixed point is the mean-field optimum, without noise they are a preconditioned descent."""

from functools import cache

import numpy as np
import pytest
import torch
from bench import BenchError, Gaussian, LinearGaussian, check_all, check_scale, kl
from torch import Generator, nn
from weight_bench import check_members_are_independent

from ensemble_uq_llm.training.walking.variational_newton import VariationalNewton
from ensemble_uq_llm.utils.seeding import derive_seed

CASES = [LinearGaussian.drawn(seed=seed) for seed in (0, 1)]
ROWS = len(CASES[0].y_N)


def own_generators(seeds=(42, 43)):
    return lambda step: [Generator().manual_seed(derive_seed(seed, step)) for seed in seeds]


def newton_on(stacks, curvatures=None, **changes) -> VariationalNewton:
    settings = {
        "rate": 0.1, "strength": ROWS, "precision": CASES[0].precision, "momentum": 0.9, "memory": 0.999,
        "generators_at": own_generators(),
    }  # fmt: skip
    curvatures = {name: torch.ones_like(stack) for name, stack in stacks.items()} if curvatures is None else curvatures
    return VariationalNewton(stacks, curvatures, **(settings | changes))


@cache
def fitted(steps: int = 6_000, **changes) -> list[Gaussian]:
    """Regress with a member a case, from far off, at a rate and with a memory that settle; return the Gaussians."""
    weights = nn.Parameter(torch.full((2, 5), 3.0))
    newton = newton_on({"w": weights}, **changes)
    curvatures = torch.stack([torch.from_numpy(case.curvature).float() for case in CASES])
    pulls = torch.stack([torch.from_numpy(case.x_NP.T @ case.y_N / case.noise**2).float() for case in CASES])
    for step in range(steps):
        weights.grad = (torch.einsum("mij,mj->mi", curvatures, weights.detach()) - pulls) / ROWS
        newton.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        newton.step()
    return [
        Gaussian(newton.means(member)["w"].double().numpy(), np.diag(newton.variances(member)["w"].double().numpy()))
        for member in range(2)
    ]


def test_of_linear_regression_the_fixed_point_is_the_mean_field_optimum():
    for found, case in zip(fitted(), CASES, strict=True):
        assert kl(found, case.mean_field) < 0.02
        best = kl(case.mean_field, case.posterior)
        assert best < kl(found, case.posterior) < best + 0.02


def test_a_strength_that_is_off_is_found_in_the_scale():
    [right, _], [wrong, _] = fitted(), fitted(strength=ROWS / 2, precision=CASES[0].precision / 2)
    target, rng = CASES[0].mean_field, np.random.default_rng(0)
    check_all(right.draw(400, rng), target)
    with pytest.raises(BenchError, match=r"scale: .* 1\.[34]"):
        check_scale(Gaussian(target.mean, wrong.covariance).draw(400, rng), target)


def test_without_noise_it_is_preconditioned_descent_with_momentum():
    """Of a likelihood without end nothing is left open, and nothing is left of the prior."""
    weights = nn.Parameter(torch.randn(2, 5, generator=Generator().manual_seed(0)))
    preconditioner = torch.rand(2, 5, generator=Generator().manual_seed(1)) + 0.1
    newton = newton_on({"w": weights}, {"w": preconditioner}, strength=1e30, memory=1.0)
    expected, averaged = weights.detach().double(), torch.zeros(2, 5, dtype=torch.float64)
    for step in range(1, 51):
        weights.grad = weights.detach().sin()
        newton.step()
        averaged = 0.9 * averaged + 0.1 * expected.sin()
        expected = expected - 0.1 * averaged / (1 - 0.9**step) / preconditioner
    torch.testing.assert_close(weights.detach().double(), expected, rtol=1e-5, atol=1e-6)


SHAPES = {"a": (3, 3, 7), "b": (3, 5, 3), "c": (3, 1, 11)}


def steps_of(members: slice, steps: int = 20) -> dict[str, torch.Tensor]:
    generator = Generator().manual_seed(0)
    start = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    stacks = {name: nn.Parameter(each[members].clone()) for name, each in start.items()}
    newton = newton_on(stacks, generators_at=own_generators((42, 7, 1234)[members]), memory=0.9)
    for _ in range(steps):
        for stack in stacks.values():
            stack.grad = stack.detach() ** 3 - stack.detach()
        newton.step()
    return {name: torch.stack([stack.detach(), newton.state[stack]["mean"]]) for name, stack in stacks.items()}


def test_in_company_bit_for_bit_as_alone():
    together = steps_of(slice(0, 3))
    for index in range(3):
        alone = steps_of(slice(index, index + 1))
        assert all(torch.equal(alone[name][:, 0], together[name][:, index]) for name in SHAPES)


def test_a_member_that_is_lost_leaves_the_others_alone():
    weights = nn.Parameter(torch.ones(2, 5))
    newton = newton_on({"w": weights})
    weights.grad = torch.tensor([[float("nan")] * 5, [1.0] * 5])
    newton.step()
    assert weights[0].isnan().all()
    assert weights[1].isfinite().all()


def test_wild_gradients_leave_the_variances_above_zero():
    weights = nn.Parameter(torch.ones(2, 50))
    newton = newton_on({"w": weights}, memory=0.0)
    for step in range(20):
        weights.grad = torch.randn(2, 50, generator=Generator().manual_seed(step)) * 10
        newton.step()
        assert all((newton.variances(member)["w"] > 0).all() for member in range(2))


def noise_of(generators_at, draws: int = 30) -> torch.Tensor:
    weights = nn.Parameter(torch.zeros(2, 40))
    newton = newton_on({"w": weights}, generators_at=generators_at, rate=0.0, memory=1.0)
    drawn = []
    for _ in range(draws):
        drawn.append(weights.detach().clone())
        newton.step()
    return torch.stack(drawn, dim=1)


def test_every_member_and_step_draws_its_own_noise():
    check_members_are_independent(noise_of(own_generators()))
    for own in noise_of(own_generators()):
        check_members_are_independent(own[:, None])
    with pytest.raises(AssertionError, match="the noise of two members goes together"):
        check_members_are_independent(noise_of(own_generators((42, 42))))


def test_at_the_means_the_stacks_hold_them_and_afterwards_the_draw():
    weights = nn.Parameter(torch.ones(2, 5))
    newton = newton_on({"w": weights})
    drawn = weights.detach().clone()
    with newton.at_the_means():
        assert torch.equal(weights, torch.ones(2, 5))
    assert torch.equal(weights, drawn)
    assert not torch.equal(drawn, torch.ones(2, 5))
