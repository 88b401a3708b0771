"""The answer head: logits of C answer tokens after the prompt, by the base's own rows of its LM head, frozen.

The members may have LoRA on these rows. That is LoRA on the whole LM head, exactly: the loss reads the C logits alone,
so the other rows of B, which start at zero, never get a gradient, and no more than C rows are held and trained. In a
PEFT folder B has all V rows again, zeros in the place of the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.labels.answer_keys import LM_HEAD
from ensemble_uq_llm.models.frozen_linear import DenseLinear
from ensemble_uq_llm.models.heads.everything_else import EverythingElse
from ensemble_uq_llm.models.heads.head import Head, HeadKind, HeadLora
from ensemble_uq_llm.models.heads.lm_head import LmHead
from ensemble_uq_llm.models.lora.stacked import Generators, LoraSpec, LoraStack, StackedProjection
from ensemble_uq_llm.models.pack import Span
from ensemble_uq_llm.utils.text import clipped

LORA_B: Final = f"{LM_HEAD}.lora_B.weight"
"""PEFT's name for B on the LM head."""

_EMBEDDING: Final = "model.embed_tokens.weight"
_BIASES: Final = (f"{LM_HEAD}.base_layer.bias", f"{LM_HEAD}.bias")
_BASES_OWN: Final = (f"{LM_HEAD}.base_layer.weight", f"{LM_HEAD}.weight", _EMBEDDING, *_BIASES)
"""What PEFT stores of the base beside adapters on the LM head, or where it is told to; Phi's head has a bias."""


class AnswerHead(Head):
    """The frozen rows of C answer tokens, and the members' LoRA on them, where that is asked for: float32 throughout.

    With `tells_rest` a further logit is that of all other tokens together.
    """

    def __init__(
        self,
        lm_head: LmHead,
        tokens: Sequence[int],
        *,
        members: int,
        device: torch.device,
        lora: HeadLora | None = None,
        tells_rest: bool = False,
    ) -> None:
        super().__init__(width=len(tokens) + tells_rest)
        self.lm_head = lm_head
        rows = lm_head.rows(tokens)
        linear = nn.Linear(lm_head.hidden, len(tokens), bias=rows.bias_C is not None, device="meta")
        linear.weight = nn.Parameter(rows.weight_CH.to(device), requires_grad=False)
        if rows.bias_C is not None:
            linear.bias = nn.Parameter(rows.bias_C.to(device), requires_grad=False)
        frozen = DenseLinear(linear)
        stack = None if lora is None else LoraStack(frozen, members=members, rank=lora.rank, device=device)
        spec = LoraSpec(scaling=1.0, dropout=0.0) if lora is None else lora.spec
        self.projection = StackedProjection([frozen], [stack], spec=spec)
        if stack is not None:
            self.adapters[LM_HEAD] = stack
        self.rest = EverythingElse(lm_head, tokens, device=device) if tells_rest else None

    def forward(self, hidden_BH: Tensor, spans: Sequence[Span], generators: Generators = None) -> Tensor:
        """Return the logits of the answer tokens [B, C], and last that of everything else where it is told.

        Member by member: a product over all rows rounds differently for different company.
        """
        owned = hidden_BH.float().split([span.stop - span.start for span in spans])
        logits = [
            self.projection(hidden, (Span(span.member, 0, len(hidden)),), generators)[0]
            for hidden, span in zip(owned, spans, strict=True)
        ]
        logits_BC = self.lm_head.shaped(torch.cat(logits))
        return logits_BC if self.rest is None else torch.cat([logits_BC, self.rest(hidden_BH)[:, None]], dim=1)

    @contextmanager
    def answers_alone(self) -> Iterator[None]:
        """Return no logit of everything else as long as this lasts."""
        kept = (self.rest, self.width)
        self.rest, self.width = None, self.width - (self.rest is not None)
        try:
            yield
        finally:
            self.rest, self.width = kept


@dataclass(frozen=True)
class AnswerKind(HeadKind):
    """The kind of `AnswerHead` for these tokens, one a class in the classes' order; PEFT calls the task CAUSAL_LM.

    `tells_rest` is for prediction: the loss of training is over the answers alone.
    """

    lm_head: LmHead
    tokens: tuple[int, ...]
    tells_rest: bool = False

    name = "answer"
    task_type = "CAUSAL_LM"
    adapted = LM_HEAD

    def make(self, decoder: PreTrainedModel, *, members: int, classes: int, lora: HeadLora | None = None) -> Head:
        """Return the heads of M members, which differ in their adapters on the head only, if there are any."""
        assert classes == len(self.tokens), "every class has its answer token"
        device = next(decoder.parameters()).device
        return AnswerHead(
            self.lm_head, self.tokens, members=members, device=device, lora=lora, tells_rest=self.tells_rest
        )

    def classes_of(self, tensors: Mapping[str, Tensor]) -> int:
        """Return the number of answer tokens; a member's folder does not tell it."""
        return len(self.tokens)

    def to_folder(self, name: str, tensor: Tensor) -> Tensor:
        """Return B on the LM head with the rows of all V tokens, as PEFT wants it."""
        if name != LORA_B:
            return tensor
        whole_VR = tensor.new_zeros(self.lm_head.vocabulary, tensor.shape[1])
        whole_VR[list(self.tokens)] = tensor
        return whole_VR

    def from_folder(self, tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
        """Return the tensors with the answers' rows of B only, and without what PEFT has stored of the base itself.

        Raises:
            IntegrityError: what is stored of the base is not this base's, or B has not a row for each of its tokens.
        """
        kept = {name: tensor for name, tensor in tensors.items() if name not in _BASES_OWN}
        for name in tensors.keys() - kept.keys():
            self._check_is_the_bases(name, tensors[name], path)
        if (b_VR := kept.get(LORA_B)) is not None:
            if b_VR.dim() != 2 or b_VR.shape[0] != self.lm_head.vocabulary:
                raise IntegrityError(
                    f"{path}: {clipped(LORA_B)} has shape {tuple(b_VR.shape)}, and the base has "
                    f"{self.lm_head.vocabulary:,} tokens; was it trained on another base?"
                )
            kept[LORA_B] = b_VR[list(self.tokens)].clone()
            if self.tells_rest and b_VR.count_nonzero() > kept[LORA_B].count_nonzero():
                raise IntegrityError(
                    f"{path}: {clipped(LORA_B)} changes other tokens than the answers', of which no more than the base "
                    "is known here; set answer_mass: false"
                )
        return kept

    def _check_is_the_bases(self, name: str, stored: Tensor, path: Path) -> None:
        """Demand that a stored weight [V, H] or bias [V] is the base's."""
        wanted = (self.lm_head.vocabulary, *(() if name in _BIASES else (self.lm_head.hidden,)))
        if tuple(stored.shape) != wanted:
            raise IntegrityError(
                f"{path}: {name} has shape {tuple(stored.shape)}, and the base's has {wanted}; was the adapter "
                "trained on another base?"
            )
        if not self.lm_head.equals(stored, embedding=name == _EMBEDDING):
            raise IntegrityError(
                f"{path}: {name} holds other numbers than the base: adapters are read, and no weights that were "
                "trained whole; was the adapter trained on another base, or with modules_to_save?"
            )
