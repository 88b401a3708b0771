"""Heads: from the last hidden state of a sequence to its logits, one head a member, stacked.

What the ensemble and the folders on disk know of a head is `Head` and `HeadKind`. `CLASSIFICATION` is the kind that
transformers' sequence classifiers have; a head that reads frozen rows of the base has no stacks and no tensors.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.models.pack import Span


class Head(nn.Module, ABC):
    """The heads of all members."""

    @abstractmethod
    def forward(self, hidden_BH: Tensor, spans: Sequence[Span]) -> Tensor:
        """Return the float32 logits [B, C] of B sequences; the spans say which are whose."""

    def named_stacks(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield what is trained, stacked over the members, with the name that PEFT gives a member's slice of it."""
        yield from ()

    def initialise(self, member: int, generator_for: Callable[[str], Generator]) -> None:
        """Give a member its first weights; what is drawn for a stack comes from `generator_for` its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadKind:
    """A kind of head: how it is made, and what PEFT calls it in a member's folder.

    `make(decoder, members=, classes=)` returns the heads of M members. `tensors` are the names of a member's slices,
    as `Head.named_stacks` yields them; `classes_of` tells from these slices how many classes a member has.
    """

    name: str
    task_type: str
    tensors: tuple[str, ...]
    make: Callable[..., Head]
    classes_of: Callable[[Mapping[str, Tensor]], int]

    @property
    def modules_to_save(self) -> list[str]:
        """The modules that PEFT saves whole beside the adapters."""
        return list(dict.fromkeys(name.rpartition(".")[0] for name in self.tensors))


SCORE = "score.weight"
"""The classification head's tensor, as transformers calls it."""


class ClassificationHead(Head):
    """A trained linear head a member: `weight_MCH` in float32, no bias, as transformers' `score`."""

    def __init__(self, decoder: PreTrainedModel, *, members: int, classes: int) -> None:
        super().__init__()
        hidden = decoder.config.get_text_config().hidden_size
        device = next(decoder.parameters()).device
        self.std: float = getattr(decoder.config, "initializer_range", 0.02)
        self.weight_MCH = nn.Parameter(torch.zeros(members, classes, hidden, device=device))

    def forward(self, hidden_BH: Tensor, spans: Sequence[Span]) -> Tensor:
        """Score every sequence with its own member's head. [B, H] -> float32 [B, C]."""
        owned = hidden_BH.float().split([span.stop - span.start for span in spans])
        return torch.cat([hidden @ self.weight_MCH[span.member].t() for hidden, span in zip(owned, spans, strict=True)])

    def named_stacks(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the one stack there is."""
        yield SCORE, self.weight_MCH

    @torch.no_grad()
    def initialise(self, member: int, generator_for: Callable[[str], Generator]) -> None:
        """Draw a member's weights as transformers does: normal, with the base's `initializer_range`."""
        drawn_CH = torch.empty(self.weight_MCH.shape[1:]).normal_(std=self.std, generator=generator_for(SCORE))
        self.weight_MCH[member].copy_(drawn_CH)


CLASSIFICATION = HeadKind(
    name="classification",
    task_type="SEQ_CLS",
    tensors=(SCORE,),
    make=ClassificationHead,
    classes_of=lambda tensors: tensors[SCORE].shape[0],
)
"""The kind that is trained and read."""
