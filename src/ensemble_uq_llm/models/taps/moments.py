"""Moments of a member's weights along a trajectory: mean and variance (Welford 1962), and the last few deviations.

In float32, whatever the base; the variance is summed as squared distances, never as a difference of large squares,
which in short formats is mostly rounding. The deviations are those of SWAG (arXiv:1902.02476): each snapshot's from the
mean as it was then, that snapshot included; they are kept on the CPU, since they are copies of all weights.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkPlan:
    """How members go on training past their end: a trajectory of whose weights the moments are taken.

    For `epochs` at a constant `rate`, a fraction of the run's peak, with about so many `snapshots`; the last `rank`
    deviations are kept. A member's trajectory ends with the last epoch after which its mean's loss on the stopping
    split is at most `tolerance` of itself above its parent's.
    """

    epochs: int
    rate: float
    snapshots: int
    rank: int
    tolerance: float


class MemberMoments:
    """The moments of one member's snapshots so far; of each tensor, by name."""

    def __init__(self, *, rank: int) -> None:
        self.count = 0
        self.means: dict[str, Tensor] = {}
        self.squares: dict[str, Tensor] = {}
        """The summed squared distances from the mean."""
        self.deviations: deque[dict[str, Tensor]] = deque(maxlen=rank)

    @torch.no_grad()
    def note(self, weights: Mapping[str, Tensor]) -> None:
        """Take in a snapshot: a member's tensors."""
        self.count += 1
        deviation: dict[str, Tensor] = {}
        for name, tensor in weights.items():
            value = tensor.detach().float()
            if self.count == 1:
                self.means[name], self.squares[name] = value.clone(), torch.zeros_like(value)
            before = value - self.means[name]
            self.means[name] = self.means[name] + before / self.count
            after = value - self.means[name]
            self.squares[name] = self.squares[name] + before * after
            deviation[name] = after.cpu()
        self.deviations.append(deviation)

    def copy(self) -> "MemberMoments":
        """Return the moments as they are now; later snapshots leave them alone."""
        copied = MemberMoments(rank=self.deviations.maxlen or 0)
        copied.count = self.count
        copied.means, copied.squares = dict(self.means), dict(self.squares)
        copied.deviations.extend(self.deviations)
        return copied

    def variances(self) -> dict[str, Tensor]:
        """Return the variance of each weight, by n - 1; zeros of a single snapshot."""
        return {name: squares / max(1, self.count - 1) for name, squares in self.squares.items()}

    def scaled(self, factor_of: Callable[[str], float]) -> "MemberMoments":
        """Return the moments of the weights multiplied by a factor of each tensor."""
        scaled = self.copy()
        scaled.means = {name: mean * factor_of(name) for name, mean in self.means.items()}
        scaled.squares = {name: squares * factor_of(name) ** 2 for name, squares in self.squares.items()}
        scaled.deviations.clear()
        for each in self.deviations:
            scaled.deviations.append({name: tensor * factor_of(name) for name, tensor in each.items()})
        return scaled
