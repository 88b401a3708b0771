"""The mathematics of K LoRA adapters on one frozen linear layer, in one pass over packed rows.

LoRA (arXiv 2106.09685, equation 3): y = W x + b + (alpha / r) B A dropout(x), here with A and B stacked over
the M members and every row of x belonging to one member. Gradients of member m are sums over its own rows only,
so no member can touch another, not even by a NaN.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ensemble_uq_llm.models.pack import Pack, Span


class ActivePass(threading.local):
    """What the pass under way in this thread works on; every stacked layer of an ensemble reads it from one object.

    transformers' decoder layers call their linear layers with nothing but activations, so the rows' owners and
    the members' dropout generators cannot arrive as arguments.
    """

    def __init__(self) -> None:
        self.pack: Pack | None = None
        self.dropout_generators: Sequence[Generator] | None = None


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """The part of an adapter that all members share: scale of its output, and dropout on its input."""

    scaling: float
    dropout: float


class StackedLoraLinear(nn.Module):
    """A frozen linear layer with the LoRA adapters of all members on it.

    `lora_a_MRI` and `lora_b_MOR` are float32 whatever the base is. With `last_tokens` the rows are the B last
    tokens of the sequences instead of all T tokens.
    """

    def __init__(
        self, base: nn.Linear, *, members: int, rank: int, spec: LoraSpec, active: ActivePass, last_tokens: bool
    ) -> None:
        super().__init__()
        self.base = base
        device = base.weight.device
        self.lora_a_MRI = nn.Parameter(torch.zeros(members, rank, base.in_features, device=device))
        self.lora_b_MOR = nn.Parameter(torch.zeros(members, base.out_features, rank, device=device))
        self.spec = spec
        self.active = active
        self.last_tokens = last_tokens

    def forward(self, x_1TI: Tensor) -> Tensor:
        """Apply the base layer and each row's own adapter. [1, T, I] -> [1, T, O]."""
        pack, generators = self.active.pack, self.active.dropout_generators
        assert pack is not None, "a stacked layer runs only inside StackedEnsemble.forward"
        y_TO = _StackedLora.apply(
            x_1TI.squeeze(0),
            self.base.weight,
            self.base.bias,
            self.lora_a_MRI,
            self.lora_b_MOR,
            pack.sequence_spans if self.last_tokens else pack.token_spans,
            self.spec,
            generators,
        )
        return y_TO.unsqueeze(0)


class _StackedLora(torch.autograd.Function):
    """Base product for all rows at once, adapters member by member, added in place.

    One function instead of a graph of small ones: nothing is copied per member, the input is saved once, and
    any rank works (grouped kernels want multiples of 4).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TI: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        a_MRI: Tensor,
        b_MOR: Tensor,
        spans: tuple[Span, ...],
        spec: LoraSpec,
        generators: Sequence[Generator] | None,
    ) -> Tensor:
        y_TO = F.linear(x_TI, weight_OI, bias_O)
        dropping = generators is not None and spec.dropout > 0
        scaling = spec.scaling / (1 - spec.dropout) if dropping else spec.scaling
        h_TR = x_TI.new_empty((x_TI.shape[0], a_MRI.shape[1]), dtype=torch.float32)
        keep_TI = torch.empty_like(x_TI, dtype=torch.bfloat16) if dropping else None
        for span in spans:
            rows = slice(span.start, span.stop)
            x = x_TI[rows].float()
            if keep_TI is not None and generators is not None:
                x = x * draw_keep(keep_TI[rows], spec.dropout, generators[span.member])
            torch.mm(x, a_MRI[span.member].t(), out=h_TR[rows])
            _add_product(y_TO[rows], h_TR[rows], b_MOR[span.member].t(), scaling)
        ctx.save_for_backward(x_TI, weight_OI, a_MRI, b_MOR, h_TR, keep_TI)
        ctx.spans, ctx.scaling = spans, scaling
        return y_TO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad_y_TO,) = grads
        x_TI, weight_OI, a_MRI, b_MOR, h_TR, keep_TI = ctx.saved_tensors
        grad_x_TI = grad_y_TO @ weight_OI if ctx.needs_input_grad[0] else None
        grad_a_MRI, grad_b_MOR = torch.zeros_like(a_MRI), torch.zeros_like(b_MOR)
        for span in ctx.spans:
            rows, member = slice(span.start, span.stop), span.member
            grad_y = grad_y_TO[rows].float()
            x = x_TI[rows].float()
            if keep_TI is not None:
                x = x * keep_TI[rows]
            # Both by way of transposes: a product with few columns is several times slower than one with few rows.
            grad_b_MOR[member] = (h_TR[rows].t() @ grad_y).mul_(ctx.scaling).t()
            grad_h = (grad_y @ b_MOR[member].t().contiguous().t()).mul_(ctx.scaling)
            torch.mm(grad_h.t(), x, out=grad_a_MRI[member])
            if grad_x_TI is None:
                continue
            if keep_TI is None:
                _add_product(grad_x_TI[rows], grad_h, a_MRI[member], 1.0)
            else:
                grad_x_TI[rows].add_((grad_h @ a_MRI[member]).mul_(keep_TI[rows]))
        return grad_x_TI, None, None, grad_a_MRI, grad_b_MOR, None, None, None


def draw_keep(keep: Tensor, dropout: float, generator: Generator) -> Tensor:
    """Fill `keep` with 1 where an entry is kept and 0 where it is dropped, and return it.

    Four entries share a draw of 64 bits, which is several times faster than `bernoulli_`; the probability is exact
    to 2^-17.
    """
    draws = torch.empty(-(-keep.numel() // 4), dtype=torch.int64, device=keep.device)
    draws.random_(-(2**63), None, generator=generator)
    entries = draws.view(torch.int16)[: keep.numel()].view(keep.shape)
    return torch.ge(entries, round(dropout * 2**16) - 2**15, out=keep)


def _add_product(out: Tensor, left: Tensor, right: Tensor, scale: float) -> None:
    """Add scale * left @ right to `out`, where the factors are float32 and `out` may be bfloat16 (one rounding)."""
    if out.dtype == left.dtype:
        out.addmm_(left, right, alpha=scale)
    else:
        out.add_(left @ right, alpha=scale)


class StackedHead(nn.Module):
    """The members' classification heads: `weight_MCH` in float32, no bias, as transformers' `score`."""

    def __init__(self, *, members: int, classes: int, hidden: int, device: torch.device) -> None:
        super().__init__()
        self.weight_MCH = nn.Parameter(torch.zeros(members, classes, hidden, device=device))

    def forward(self, hidden_BH: Tensor, spans: Sequence[Span]) -> Tensor:
        """Score every sequence with its own member's head. [B, H] -> float32 [B, C]."""
        owned = hidden_BH.float().split([span.stop - span.start for span in spans])
        return torch.cat([hidden @ self.weight_MCH[span.member].t() for hidden, span in zip(owned, spans, strict=True)])
