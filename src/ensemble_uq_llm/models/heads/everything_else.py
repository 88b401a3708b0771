"""What the base would say instead of an answer: one logit for all other tokens of its vocabulary together."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from ensemble_uq_llm.models.heads.lm_head import LmHead

TOKENS_AT_ONCE: Final = 8_192


class EverythingElse(nn.Module):
    """log sum exp of the logits of all tokens but the answers', by one product with the whole LM head.

    With the answers' own logits it gives the full softmax: the probability of all answers together is the *answer
    mass*. It is exact also for members that adapt the answers' rows of the LM head, and no others. The logits of the
    vocabulary are never there all at once.
    """

    weight_VH: Tensor
    bias_V: Tensor | None

    def __init__(self, lm_head: LmHead, answers: Sequence[int], *, device: torch.device) -> None:
        super().__init__()
        self.lm_head, self.answers = lm_head, tuple(answers)
        weight_VH, bias_V = lm_head.whole()
        self.register_buffer("weight_VH", weight_VH.to(device), persistent=False)
        self.register_buffer("bias_V", None if bias_V is None else bias_V.to(device), persistent=False)

    @torch.no_grad()
    def forward(self, hidden_BH: Tensor) -> Tensor:
        """Return the logit [B] of everything else for the last hidden states of B sequences."""
        total_B = hidden_BH.new_full((len(hidden_BH),), -torch.inf, dtype=torch.float32)
        hidden_BH = hidden_BH.float()
        for start in range(0, self.lm_head.vocabulary, TOKENS_AT_ONCE):
            part = slice(start, start + TOKENS_AT_ONCE)
            logits = hidden_BH @ self.weight_VH[part].float().t()
            if self.bias_V is not None:
                logits += self.bias_V[part].float()
            logits = self.lm_head.shaped(logits)
            own = [token - start for token in self.answers if 0 <= token - start < logits.shape[1]]
            logits[:, own] = -torch.inf
            total_B = torch.logaddexp(total_B, logits.logsumexp(1))
        return total_B
