"""MC dropout as samples of weights: dropout of an adapter's inputs stays on, one mask for all rows and tokens.

Dropping inputs x of an adapter is dropping columns of A: B A diag(mask) x / (1 - rate). With one mask a sample that is
an adapter like any other, where PEFT's own dropout would draw anew for every token (Gal and Ghahramani 2016,
arXiv:1506.02142). Every adapted layer has a mask of its own, also those that read the same input: so they have in
training.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.posteriors.maker import GeneratorFor, Made, Maker, Need, Parents
from ensemble_uq_llm.posteriors.maker_settings import DropoutRate


@dataclass(frozen=True)
class McDropout(Maker):
    """Samples by dropout; without a `rate` each member's is that which it was trained with."""

    name: ClassVar[str] = "mc_dropout"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.WEIGHTS})
    rate: DropoutRate | None = None

    def make(self, parents: Parents, samples: int, generator_for: GeneratorFor) -> Made:
        """Return so many samples of every member.

        Raises:
            ConfigError: a member was trained without dropout, and no rate is given.
        """
        rates = [self._rate_of(parents, index) for index in range(len(parents.members))]
        stacks = {f"{name}.lora_A.weight": each.lora_a_MRI.detach() for name, each in parents.ensemble.adapters.items()}
        return Made(
            samples=[
                [
                    {
                        name: dropped(a_MRI[index], rates[index], generator_for(member, sample, name))
                        for name, a_MRI in stacks.items()
                    }
                    for sample in range(1, samples + 1)
                ]
                for index, member in enumerate(parents.members)
            ],
            facts=[{"rate": rate} for rate in rates],
        )

    def _rate_of(self, parents: Parents, index: int) -> float:
        rate = self.rate if self.rate is not None else parents.dropouts[index]
        if rate == 0 and self.rate is None:
            raise ConfigError(
                f"mc_dropout: {parents.members[index].title} was trained without dropout, so there is none to keep on; "
                "say how much with --with rate=0.1"
            )
        return rate


def dropped(a_RI: Tensor, rate: float, generator: Generator) -> Tensor:
    """Return A with each of its columns dropped at that rate, and the others scaled up, so that its mean is A."""
    keep_I = torch.rand(a_RI.shape[1], generator=generator, dtype=torch.float64) >= rate
    return torch.where(keep_I.to(a_RI.device), a_RI / (1 - rate), torch.zeros_like(a_RI))
