"""SWAG and multi-SWAG: a Gaussian of the weights along further training (Maddox et al. 2019, arXiv:1902.02476).

A sample is mean + (1/2)^(1/2) (sd z + D y / (k - 1)^(1/2)), D being the last k deviations and z, y standard normal:
half of the covariance is the diagonal's, half that of the deviations. With a rank of 0 the diagonal is all of it
(SWAG-diagonal); with a scale of 0 a sample is the mean (SWA). What spreads an optimiser's steps is not what the data
leave open: `scale`, which multiplies the covariance, is a setting to be judged on data.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.models.taps.moments import MemberMoments, WalkPlan
from ensemble_uq_llm.posteriors.maker import GeneratorFor, Made, Maker, Need, Parents, Weights
from ensemble_uq_llm.posteriors.maker_settings import NotNegative, Positive, Times


@dataclass(frozen=True)
class Swag(Maker):
    """Samples by SWAG; of several members, multi-SWAG."""

    name: ClassVar[str] = "swag"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.WEIGHTS, Need.TRAINING_STEPS})
    epochs: Times = 4
    """Of further training."""
    rate: Positive = 0.5
    """Its learning rate, a fraction of the run's peak."""
    snapshots: Annotated[int, Field(ge=2, le=10_000)] = 20
    rank: Annotated[int, Field(ge=0, le=1_000)] = 10
    """Deviations that are kept."""
    scale: NotNegative = 1.0
    tolerance: NotNegative = 0.05
    """A member's trajectory ends before the loss of its mean on the stopping split rises by more than this of it."""

    def make(self, parents: Parents, samples: int, generator_for: GeneratorFor) -> Made:
        """Return so many samples of every member, and how far each one's trajectory went.

        Raises:
            ConfigError: the members cannot be trained further, or a member only over-trains.
        """
        if parents.walk is None:
            raise ConfigError(
                "swag: trains members further, which only the members of a run can be; leave out --adapter"
            )
        moments = parents.walk(
            WalkPlan(
                epochs=self.epochs,
                rate=self.rate,
                snapshots=self.snapshots,
                rank=self.rank,
                tolerance=self.tolerance,
            )
        )
        for member, own in zip(parents.members, moments, strict=True):
            if own.count == 0:
                raise ConfigError(
                    f"swag: {member.title}: the first epoch of further training is no good already; lower the rate "
                    f"(--with rate={self.rate / 5:.2g}), or raise the tolerance"
                )
        return Made(
            samples=[
                [
                    swag_sample(own, generator_for, member=member, sample=sample, scale=self.scale)
                    for sample in range(1, samples + 1)
                ]
                for member, own in zip(parents.members, moments, strict=True)
            ],
            facts=[{**_facts(own), "watched_by_digest": parents.watched_by} for own in moments],
        )


def swag_sample(
    moments: MemberMoments, generator_for: GeneratorFor, *, member: Any, sample: int, scale: float
) -> Weights:
    """Return a sample: its z are drawn tensor by tensor, its y once for all of them."""
    deviations = moments.deviations if moments.count > 1 and moments.deviations.maxlen else ()
    share = scale if moments.deviations.maxlen == 0 else scale / 2
    y = torch.randn(len(deviations), generator=generator_for(member, sample, "deviations"))
    variances = moments.variances()
    sampled: Weights = {}
    for name, mean in moments.means.items():
        noise: Tensor = torch.randn(mean.shape, generator=generator_for(member, sample, name)).to(mean.device)
        along = torch.zeros(mean.shape)
        for factor, deviation in zip(y, deviations, strict=True):
            along += factor * deviation[name]
        along /= max(1, len(deviations) - 1) ** 0.5
        sampled[name] = mean + share**0.5 * (variances[name].sqrt() * noise + along.to(mean.device))
    return sampled


def _facts(moments: MemberMoments) -> dict[str, Any]:
    weights = sum(mean.numel() for mean in moments.means.values())
    variance = sum(float(each.double().sum()) for each in moments.variances().values()) / weights
    return {
        "snapshots": moments.count,
        "deviations": len(moments.deviations),
        "mean_standard_deviation": variance**0.5,
    }
