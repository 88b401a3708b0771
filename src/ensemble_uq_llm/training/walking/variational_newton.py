"""Improved variational online Newton (IVON): a step of all members' Gaussians at once (Shen et al. 2024).

After arXiv:2402.17641. Each member's q = N(m, s^2), without correlations, is looked for that makes

    strength * E_q[mean loss] + KL(q || N(0, 1 / precision))

least: the variational bound of a likelihood that counts as `strength` rows (the paper's lambda). Each step moves m and
h together by the natural gradient, with s^2 = 1 / (strength (h + damping)) and damping = precision / strength (its
delta):

    g  gradient of the mean loss at one draw m + s e; c = g e / s, whose expectation is the curvature E_q[d2 loss / dm2]
    h <- b h + (1 - b) c + (1 - b)^2 (h - c)^2 / (2 (h + damping))      keeps h + damping above zero, whatever c is
    m <- m - rate (averaged g + damping m) / (h + damping)

At a fixed point the expected gradient plus damping m is 0 and h is the expected curvature: there the bound has no
slope. Sums and products of single entries alone, so a stack of members does what each would do alone, bit for bit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

Generators = Callable[[int], Sequence[Generator]]
"""Each member's own generator for a step (from 1)."""


class VariationalNewton(Optimizer):
    """Steps of IVON on stacks [M, ...], which between two steps hold a draw of every member's Gaussian.

    So whoever takes gradients takes them at a draw: one a member and step, the same weights for all rows and tokens.
    The means are what the stacks hold at first, and `curvatures`, by name, where h begins.
    """

    def __init__(
        self,
        stacks: Mapping[str, nn.Parameter],
        curvatures: Mapping[str, Tensor],
        *,
        rate: float,
        strength: float,
        precision: float,
        momentum: float,
        memory: float,
        generators_at: Generators,
    ) -> None:
        super().__init__(list(stacks.values()), {"lr": rate})
        self._stacks, self._generators_at = stacks, generators_at
        self._strength, self._damping = strength, precision / strength
        self._momentum, self._memory = momentum, memory
        self._steps = 0
        for name, stack in stacks.items():
            mean = stack.detach().clone()
            curved = curvatures[name] + self._damping
            self.state[stack] = {"mean": mean, "curved": curved, "gradient": torch.zeros_like(mean)}
        self._draw()

    @torch.no_grad()
    def step(self, _closure: Any = None) -> None:  # type: ignore[override]  # a draw has one gradient
        """Move every member's Gaussian by the gradients at its draw, and draw anew."""
        self._steps += 1
        rate = self.param_groups[0]["lr"]
        for stack in self._stacks.values():
            if stack.grad is not None:
                self._move(self.state[stack], stack.grad, rate)
        self._draw()

    def _move(self, own: dict[str, Tensor], gradient: Tensor, rate: float) -> None:
        curved = own["curved"]  # h + damping, and so 1 / (strength s^2)
        curvature = gradient * own["noise"] * (self._strength * curved).sqrt()
        change = (1 - self._memory) * (curvature - (curved - self._damping)) / curved
        own["curved"] = curved * (1 + change + change * change / 2)
        own["gradient"] = self._momentum * own["gradient"] + (1 - self._momentum) * gradient
        averaged = own["gradient"] / (1 - self._momentum**self._steps)
        own["mean"] = own["mean"] - rate * ((averaged + self._damping * own["mean"]) / own["curved"])

    @torch.no_grad()
    def _draw(self) -> None:
        generators = self._generators_at(self._steps + 1)
        for stack in self._stacks.values():
            own = self.state[stack]
            noise = torch.stack(
                [torch.randn(stack.shape[1:], generator=each, device=stack.device) for each in generators]
            )
            own["noise"] = noise
            stack.copy_(own["mean"] + noise / (self._strength * own["curved"]).sqrt())

    @contextmanager
    def at_the_means(self) -> Iterator[None]:
        """Let the stacks hold the means meanwhile."""
        drawn = {name: stack.detach().clone() for name, stack in self._stacks.items()}
        try:
            with torch.no_grad():
                for stack in self._stacks.values():
                    stack.copy_(self.state[stack]["mean"])
            yield
        finally:
            with torch.no_grad():
                for name, stack in self._stacks.items():
                    stack.copy_(drawn[name])

    def means(self, member: int) -> dict[str, Tensor]:
        """Return the mean of each of a member's weights, as it is now."""
        return {name: self.state[stack]["mean"][member].clone() for name, stack in self._stacks.items()}

    def variances(self, member: int) -> dict[str, Tensor]:
        """Return the variance of each of a member's weights, as it is now."""
        return {
            name: 1 / (self._strength * self.state[stack]["curved"][member]) for name, stack in self._stacks.items()
        }
