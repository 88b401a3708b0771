"""Noise on an adapter's update of one and the same size in every direction that the adapter can change.

With B = U diag(d) V' the noise A + sigma V diag(1/d) z changes the update B A by sigma U z (TFB, arXiv:2412.05723,
section 3). Published adapters are rotated first, to B' = U diag(d) and A' = V' A; as V is orthogonal, that is the same
noise on A as it is, which leaves B alone, and the member itself, bit for bit, where sigma is 0.
"""

from typing import Final

import torch
from torch import Generator, Tensor

SMALLEST: Final = 1e-4
"""The smallest singular value of B that has noise, as a share of the largest. Noise on A is as large as 1/d, so that
its rounding to float32 would disturb the other directions by 6e-8 / SMALLEST of sigma."""

EXACT: Final = 1e-6
"""How far B V diag(1/d) may be from orthonormal columns."""


def noise_directions(a_RI: Tensor, b_OR: Tensor) -> Tensor | None:
    """Return V diag(1/d) [R, k] in float64 on the CPU, k being the directions that the adapter changes.

    A layer that the member does not adapt (both zero) has k = 0. None is for one that it has not changed: B is zero,
    and no noise on A of whatever size shows.
    """
    a_RI, b_OR = a_RI.double().cpu(), b_OR.double().cpu()
    used_R = (a_RI != 0).any(dim=1) | (b_OR != 0).any(dim=0)  # a lower rank than the company's is filled up with zeros
    directions_Rk = torch.zeros(len(used_R), 0, dtype=torch.float64)
    if not used_R.any():
        return directions_Rk
    if not b_OR.any():
        return None
    _, d_k, vt_kr = torch.linalg.svd(b_OR[:, used_R], full_matrices=False)
    kept_k = d_k > SMALLEST * d_k[0]
    directions_Rk = torch.zeros(len(used_R), int(kept_k.sum()), dtype=torch.float64)
    directions_Rk[used_R] = vt_kr[kept_k].t() / d_k[kept_k]
    u_Ok = b_OR @ directions_Rk
    assert (u_Ok.t() @ u_Ok - torch.eye(u_Ok.shape[1], dtype=torch.float64)).abs().max() <= EXACT, "a rotation is exact"
    return directions_Rk


def with_noise(a_RI: Tensor, directions_Rk: Tensor, sigma: float, generator: Generator) -> Tensor:
    """Return A with noise; the same generator draws the same z for every sigma."""
    if sigma == 0 or not directions_Rk.shape[1]:
        return a_RI.clone()
    z_kI = torch.randn(directions_Rk.shape[1], a_RI.shape[1], generator=generator, dtype=torch.float64)
    noise_RI = (sigma * directions_Rk) @ z_kI
    return (a_RI.double() + noise_RI.to(a_RI.device)).to(a_RI.dtype)
