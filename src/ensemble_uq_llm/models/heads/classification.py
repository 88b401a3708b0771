"""The classification head: a trained linear layer a member, as transformers' sequence classifiers have it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import torch
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.models.heads.head import Head, HeadKind, HeadLora
from ensemble_uq_llm.models.lora.stacked import Generators
from ensemble_uq_llm.models.pack import Span

SCORE: Final = "score.weight"
"""The head's tensor, as transformers calls it."""


class ClassificationHead(Head):
    """A trained linear head a member: `weight_MCH` in float32, no bias, as transformers' `score`."""

    def __init__(self, decoder: PreTrainedModel, *, members: int, classes: int) -> None:
        super().__init__(width=classes)
        hidden = decoder.config.get_text_config().hidden_size
        device = next(decoder.parameters()).device
        self.std: float = getattr(decoder.config, "initializer_range", 0.02)
        self.weight_MCH = nn.Parameter(torch.zeros(members, classes, hidden, device=device))

    def forward(self, hidden_BH: Tensor, spans: Sequence[Span], generators: Generators = None) -> Tensor:
        """Score every sequence with its own member's head. [B, H] -> float32 [B, C]; nothing is dropped."""
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


class ClassificationKind(HeadKind):
    """The kind of `ClassificationHead`; PEFT calls the task SEQ_CLS and saves the head whole."""

    name = "classification"
    task_type = "SEQ_CLS"
    tensors = (SCORE,)

    def make(self, decoder: PreTrainedModel, *, members: int, classes: int, lora: HeadLora | None = None) -> Head:
        """Return the heads of M members, which are trained themselves and have no adapters."""
        assert lora is None, "a trained head needs no adapters"
        return ClassificationHead(decoder, members=members, classes=classes)

    def classes_of(self, tensors: Mapping[str, Tensor]) -> int:
        """Return the rows of a member's `score`."""
        return tensors[SCORE].shape[0]


CLASSIFICATION: Final = ClassificationKind()
