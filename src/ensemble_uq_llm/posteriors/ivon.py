"""IVON: every member's own variational Gaussian, found by further training (Shen et al. 2024, arXiv:2402.17641).

With N training rows, a temperature T and a prior N(0, 1 / d) of precision d over all that a member trains, q is the
Gaussian without correlations that makes

    N E_q[mean loss] + T KL(q || N(0, 1 / d))

least: T times the paper's objective with lambda = N / T. Members begin at their trained weights, and
with their Fisher information as the curvature h. A sample is m + scale^(1/2) s z, where s^2 = 1 / (N h / T + d) and z
is standard normal: weights that do not matter spread like the prior. With T = 1 the objective is the evidence bound;
below, the posterior is a cold one. With a scale of 0 a sample is the mean.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.taps.mean_field import MeanField, VariationalPlan
from ensemble_uq_llm.posteriors.maker import GeneratorFor, Made, Maker, Need, Parents, Weights
from ensemble_uq_llm.posteriors.maker_settings import NotNegative, Positive, Times


@dataclass(frozen=True)
class Ivon(Maker):
    """Samples of each member's variational Gaussian."""

    name: ClassVar[str] = "ivon"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.WEIGHTS, Need.TRAINING_STEPS})
    epochs: Times = 4
    """Of further training."""
    rate: Positive = 1.0
    """Of the steps, at their highest; 1 lets the choice of a batch move a mean by less than its own width."""
    temperature: Positive = 0.01
    """How much the divergence from the prior weighs; 1 is Bayes' rule."""
    precision: Positive = 100.0
    """The prior's."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    memory: Annotated[float, Field(ge=0, le=1)] = 0.9999
    """How much of the curvature a step keeps."""
    scale: NotNegative = 1.0
    """Multiplies the samples' covariance."""
    tolerance: NotNegative = 0.05
    """Epochs count after which the loss of the mean, on the stopping split, has risen by no more than this of it."""

    def make(self, parents: Parents, samples: int, generator_for: GeneratorFor) -> Made:
        """Return so many samples of every member, and how each one's further training ended.

        Raises:
            ConfigError: the members cannot be trained further, or no epoch of a member's is any good.
        """
        if parents.vary is None:
            raise ConfigError(
                "ivon: trains members further, which only the members of a run can be; leave out --adapter"
            )
        fields = parents.vary(
            VariationalPlan(
                epochs=self.epochs,
                rate=self.rate,
                temperature=self.temperature,
                precision=self.precision,
                momentum=self.momentum,
                memory=self.memory,
                tolerance=self.tolerance,
            )
        )
        self._check_all_are_there(parents, fields)
        _tell_which_ended_early(parents, fields)
        return Made(
            samples=[
                [
                    mean_field_sample(own, generator_for, member=member, sample=sample, scale=self.scale)
                    for sample in range(1, samples + 1)
                ]
                for member, own in zip(parents.members, fields, strict=True)
            ],
            facts=[{**_facts(own), "watched_by_digest": parents.watched_by} for own in fields],
        )

    def _check_all_are_there(self, parents: Parents, fields: Sequence[MeanField]) -> None:
        lacking = [
            f"{member.title}: {own.ended}"
            for member, own in zip(parents.members, fields, strict=True)
            if own.epochs == 0
        ]
        if lacking:
            raise ConfigError(
                f"ivon: no epoch of further training is any good: {'; '.join(lacking)}; lower the temperature (--with "
                f"temperature={self.temperature / 10:g}) or the rate (--with rate={self.rate / 10:g}), or raise "
                "the tolerance"
            )


def _tell_which_ended_early(parents: Parents, fields: Sequence[MeanField]) -> None:
    early = [
        f"{member.title} has the Gaussian of epoch {own.epochs}: {own.ended}"
        for member, own in zip(parents.members, fields, strict=True)
        if own.ended
    ]
    if early:
        warnings.warn(f"ivon: {'; '.join(early)}", stacklevel=3)


def mean_field_sample(
    field: MeanField, generator_for: GeneratorFor, *, member: MemberId, sample: int, scale: float
) -> Weights:
    """Return a sample: its noise is drawn tensor by tensor."""
    return {
        name: mean
        + (scale * field.variances[name]).sqrt()
        * torch.randn(mean.shape, generator=generator_for(member, sample, name)).to(mean.device)
        for name, mean in field.means.items()
    }


def _facts(field: MeanField) -> dict[str, Any]:
    weights = sum(mean.numel() for mean in field.means.values())
    variance = sum(float(each.double().sum()) for each in field.variances.values()) / weights
    facts = {"epochs": field.epochs, "mean_standard_deviation": variance**0.5}
    return facts | ({"ended": field.ended} if field.ended else {})
