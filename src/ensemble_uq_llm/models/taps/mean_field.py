"""A Gaussian without correlations over a member's weights, and how further training looks for it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationalPlan:
    """How members go on training past their end, as Gaussians: for `epochs`, at a `rate` that falls to none.

    A rate of 1 is a batch's share of the rows that the likelihood counts as, and never more than a whole Newton step:
    then what the choice of a batch moves a mean by is less than the Gaussian's own width. `temperature` weighs the
    divergence from the prior, whose precision is `precision`, in the objective; `momentum` and `memory` are what a
    step keeps of the gradients and the curvatures before. What counts is the Gaussian of the last epoch after which
    the mean's loss on the stopping split is at most `tolerance` of itself above the parent's.
    """

    epochs: int
    rate: float
    temperature: float
    precision: float
    momentum: float
    memory: float
    tolerance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanField:
    """The mean and the variance of each of a member's weights, by the name of the tensor."""

    epochs: int = 0
    """How many epochs of further training lie behind it; after none there is no Gaussian."""
    means: dict[str, Tensor] = field(default_factory=dict)
    variances: dict[str, Tensor] = field(default_factory=dict)
    ended: str = ""
    """Why it is not that of the last epoch, where it is not."""

    def scaled(self, factor_of: Callable[[str], float]) -> "MeanField":
        """Return the Gaussian of the weights multiplied by a factor of each tensor."""
        return replace(
            self,
            means={name: mean * factor_of(name) for name, mean in self.means.items()},
            variances={name: variance * factor_of(name) ** 2 for name, variance in self.variances.items()},
        )
