"""The parts of a LLaMA layer between its products, each with a backward of its own that moves little memory.

On a CPU these parts are bound by memory, and what is kept for the backward costs twice: to write, and to get from the
system. So each keeps its inputs only, which other parts keep anyway, and works in place on what it made itself.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, weight_H: Tensor, eps: float) -> Tensor:
    """Norm the last axis by its root mean square (arXiv 1910.07467, equation 4), in float32 with one rounding."""
    if x.device.type != "cpu":
        return F.rms_norm(x, weight_H.shape, weight_H, eps)
    normed: Tensor = _RmsNorm.apply(x, weight_H, eps)
    return normed


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_H: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight_H, scale)
        return (x.float() * scale).mul_(weight_H.float()).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_H, scale = ctx.saved_tensors
        grad = grads[0].float() * weight_H.float()
        unit = x.float() * scale
        share = (grad * unit).sum(-1, keepdim=True).div_(x.shape[-1])
        return grad.addcmul_(unit, share, value=-1).mul_(scale).to(x.dtype), None, None


def swiglu(gate_TI: Tensor, up_TI: Tensor) -> Tensor:
    """Return silu(gate) * up (arXiv 2002.05202, equation 5)."""
    gated: Tensor = _SwiGlu.apply(gate_TI, up_TI)
    return gated


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        (grad,) = grads
        return torch.ops.aten.silu_backward(grad * up, gate), F.silu(gate).mul_(grad)


def rotary_table(cos_TD: Tensor, sin_TD: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines [T, heads, D] for `rotate`, made once for all layers of a pass."""
    half = sin_TD.shape[-1] // 2
    signed_TD = torch.cat((-sin_TD[:, :half], sin_TD[:, half:]), dim=-1)
    cos_THD, signed_THD = (each.unsqueeze(1).expand(-1, heads, -1) for each in (cos_TD, signed_TD))
    if cos_TD.device.type != "cpu":
        return cos_THD, signed_THD
    # A CPU's loop runs over the last axis; written out for all heads, it runs over all of them at once.
    return cos_THD.contiguous(), signed_THD.contiguous()


def rotate(x_THD: Tensor, cos_THD: Tensor, signed_sin_THD: Tensor) -> Tensor:
    """Apply rotary position embedding (arXiv 2104.09864) in the half-split layout of transformers.

    The tables may have more heads than `x_THD`.
    """
    heads = x_THD.shape[1]
    rotated: Tensor = _Rotate.apply(x_THD, cos_THD[:, :heads], signed_sin_THD[:, :heads])
    return rotated


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, signed_sin)
        return (x * cos).addcmul_(x.roll(x.shape[-1] // 2, -1), signed_sin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        cos, signed_sin = ctx.saved_tensors
        grad = grads[0]
        return (grad * cos).add_((grad * signed_sin).roll(grad.shape[-1] // 2, -1)), None, None
