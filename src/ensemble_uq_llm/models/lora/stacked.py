"""The mathematics of K LoRA adapters on one frozen linear layer, over packed rows.

LoRA (arXiv 2106.09685, equation 3): y = W x + b + (alpha / r) B A dropout(x), here with A and B stacked over
the M members and every row of x belonging to one member. Gradients of member m are sums over its own rows only,
so no member can touch another, not even by a NaN.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ensemble_uq_llm.models.frozen_linear import FrozenLinear
from ensemble_uq_llm.models.pack import Pack, Span

Generators = Sequence[Generator] | None
"""The members' dropout generators, one a member; None where nothing is dropped."""


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """The part of an adapter that all members share: scale of its output, and dropout on its input."""

    scaling: float
    dropout: float


class LoraStack(nn.Module):
    """The adapters of all members on one linear layer: `lora_a_MRI` and `lora_b_MOR`, in float32 whatever the base."""

    def __init__(self, linear: FrozenLinear, *, members: int, rank: int, device: torch.device) -> None:
        super().__init__()
        self.lora_a_MRI = nn.Parameter(torch.zeros(members, rank, linear.in_features, device=device))
        self.lora_b_MOR = nn.Parameter(torch.zeros(members, linear.out_features, rank, device=device))

    @torch.no_grad()
    def initialise(self, member: int, generator: Generator) -> None:
        """Give a member PEFT's first weights: A drawn by `kaiming_uniform_`, B zero."""
        drawn_RI = torch.empty(self.lora_a_MRI.shape[1:])
        self.lora_a_MRI[member].copy_(nn.init.kaiming_uniform_(drawn_RI, a=5**0.5, generator=generator))
        self.lora_b_MOR[member].zero_()


class StackedProjection(nn.Module):
    """Frozen linear layers that read the same input, with the members' adapters on any of them.

    `stacks` holds a stack, or None, for each layer. The layers' weights stay apart: elementwise work on a CPU wants
    rows without gaps.
    """

    def __init__(self, linears: Sequence[FrozenLinear], stacks: Sequence[LoraStack | None], *, spec: LoraSpec) -> None:
        super().__init__()
        self.linears = nn.ModuleList(linears)
        self.stacks = nn.ModuleList(stack for stack in stacks if stack is not None)
        self.adapted = tuple(index for index, stack in enumerate(stacks) if stack is not None)
        self.spec = spec

    def forward(
        self,
        x_TI: Tensor,
        spans: tuple[Span, ...],
        generators: Generators,
        residual_TO: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return every layer's output [T, O] with each row's own adapter.

        The spans say whose the rows are; `residual_TO` is added to the first output.
        """
        outputs: tuple[Tensor, ...] = _StackedLora.apply(
            x_TI,
            residual_TO,
            spans,
            generators,
            self.spec,
            tuple(self.linears),
            self.adapted,
            *(stack.lora_a_MRI for stack in self.stacks),
            *(stack.lora_b_MOR for stack in self.stacks),
        )
        return outputs


class ActivePass(threading.local):
    """The pass under way in this thread, for layers that transformers' own decoder calls.

    That decoder hands its linear layers nothing but activations, so whose the rows are cannot arrive as an argument.
    Threads, because passes run side by side.
    """

    def __init__(self) -> None:
        self.pack: Pack | None = None
        self.generators: Generators = None

    @contextmanager
    def during(self, pack: Pack, generators: Generators) -> Iterator[None]:
        """Let the layers work on `pack` as long as the context lasts."""
        self.pack, self.generators = pack, generators
        try:
            yield
        finally:
            self.pack = self.generators = None


class StackedLoraLinear(nn.Module):
    """One adapted linear layer in the place of a layer of transformers: [1, T, I] -> [1, T, O]."""

    def __init__(self, linear: FrozenLinear, stack: LoraStack, *, spec: LoraSpec, active: ActivePass) -> None:
        super().__init__()
        self.projection = StackedProjection([linear], [stack], spec=spec)
        self.active = active

    def forward(self, x_1TI: Tensor) -> Tensor:
        """Apply the layer and each row's own adapter."""
        pack = self.active.pack
        assert pack is not None, "a stacked layer runs only inside StackedEnsemble.forward"
        (y_TO,) = self.projection(x_1TI.squeeze(0), pack.token_spans, self.active.generators)
        return y_TO.unsqueeze(0)


class _StackedLora(torch.autograd.Function):
    """Base products for all rows at once, adapters member by member, added in place.

    One function instead of a graph of small ones: nothing is copied per member, the input is saved once for all
    layers that read it, their gradients meet in one product, and any rank works (grouped kernels want multiples of 4).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TI: Tensor,
        residual_TO: Tensor | None,
        spans: tuple[Span, ...],
        generators: Generators,
        spec: LoraSpec,
        linears: tuple[FrozenLinear, ...],
        adapted: tuple[int, ...],
        *adapters: Tensor,
    ) -> tuple[Tensor, ...]:
        first, *others = linears
        outputs = (first.product(x_TI, residual_TO), *(linear.product(x_TI) for linear in others))
        dropping = generators is not None and spec.dropout > 0
        scaling = spec.scaling / (1 - spec.dropout) if dropping else spec.scaling
        stacks_a, stacks_b = adapters[: len(adapted)], adapters[len(adapted) :]
        hidden: list[Tensor] = []
        keeps: list[Tensor] = []
        for layer, a_MRI, b_MOR in zip(adapted, stacks_a, stacks_b, strict=True):
            h_TR = x_TI.new_empty((x_TI.shape[0], a_MRI.shape[1]), dtype=torch.float32)
            keep_TI = torch.empty_like(x_TI) if dropping else None
            for span in spans:
                rows = slice(span.start, span.stop)
                if keep_TI is not None and generators is not None:
                    draw_keep(keep_TI[rows], spec.dropout, generators[span.member])
                torch.mm(_kept(x_TI, keep_TI, rows), a_MRI[span.member].t(), out=h_TR[rows])
                _add_product(outputs[layer][rows], h_TR[rows], b_MOR[span.member].t(), scaling)
            hidden.append(h_TR)
            keeps += [] if keep_TI is None else [keep_TI]
        ctx.save_for_backward(x_TI if adapted else None, *adapters, *hidden, *keeps)
        ctx.linears, ctx.spans, ctx.adapted, ctx.scaling = linears, spans, adapted, scaling
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads_TO: Tensor) -> tuple[Tensor | None, ...]:
        x_TI, *saved = ctx.saved_tensors
        count = len(ctx.adapted)
        stacks_a, stacks_b, hidden, keeps = (saved[count * part : count * (part + 1)] for part in range(4))
        grad_x_TI = _products_backward(ctx.linears, grads_TO) if ctx.needs_input_grad[0] else None
        grads_a, grads_b = ([torch.zeros_like(stack) for stack in stacks] for stacks in (stacks_a, stacks_b))
        for index, layer in enumerate(ctx.adapted):
            a_MRI, b_MOR, h_TR = stacks_a[index], stacks_b[index], hidden[index]
            keep_TI = keeps[index] if keeps else None
            for span in ctx.spans:
                rows, member = slice(span.start, span.stop), span.member
                grad_y = grads_TO[layer][rows].float()
                # Both by way of transposes: a product with few columns is several times slower than one with few rows.
                grads_b[index][member] = (h_TR[rows].t() @ grad_y).mul_(ctx.scaling).t()
                grad_h = (grad_y @ b_MOR[member].t().contiguous().t()).mul_(ctx.scaling)
                torch.mm(grad_h.t(), _kept(x_TI, keep_TI, rows), out=grads_a[index][member])
                if grad_x_TI is None:
                    continue
                if keep_TI is None:
                    _add_product(grad_x_TI[rows], grad_h, a_MRI[member], 1.0)
                else:
                    grad_x_TI[rows].addcmul_((grad_h @ a_MRI[member]).to(keep_TI.dtype), keep_TI[rows])
        grad_residual = grads_TO[0] if ctx.needs_input_grad[1] else None
        return grad_x_TI, grad_residual, *[None] * 5, *grads_a, *grads_b


def _products_backward(linears: Sequence[FrozenLinear], grads_TO: Sequence[Tensor]) -> Tensor:
    """Return the gradient [T, I] of the input that several layers read."""
    grad_TI = None
    for linear, grad_TO in zip(linears, grads_TO, strict=True):
        grad_TI = linear.product_backward(grad_TO, grad_TI)
    assert grad_TI is not None, "a projection has at least one layer"
    return grad_TI


def _kept(x_TI: Tensor, keep_TI: Tensor | None, rows: slice) -> Tensor:
    """Return rows of the input in float32, without what was dropped; multiplied first, because that is exact."""
    return x_TI[rows].float() if keep_TI is None else (x_TI[rows] * keep_TI[rows]).float()


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
