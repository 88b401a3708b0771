"""An adapter rotated so that noise on its update has one and the same size in every direction that it can change.

With B = U diag(d) V' the update B A is U times diag(d) V' A, and noise sigma z on the latter is noise sigma U z on the
update. TFB (arXiv:2412.05723, section 3) leaves d with B and divides the noise by it; that is the same update, but
with numbers as large as 1/d. Not so by turning the noise back onto A as it is, by V diag(1/d) z: the large numbers then
meet in every row, cancel in B A, and logits of float32 lose two digits.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Generator, Tensor

SMALLEST: Final = 1e-6
"""The smallest singular value of B that has a direction, as a share of the largest; those below are rounding."""

EXACT: Final = 1e-6
"""How far the rotated update may be from the adapter's, relative to it."""


@dataclass(frozen=True, slots=True)
class RotatedAdapter:
    """The rotated matrices in float64 on the CPU, with the adapter's own rank; the first `directions` have noise."""

    a_RI: Tensor
    b_OR: Tensor
    directions: int

    def with_noise(self, sigma: float, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return A and B in float32; the same generator draws the same z for every sigma."""
        z_RI = torch.randn(self.directions, self.a_RI.shape[1], generator=generator, dtype=torch.float64)
        a_RI = self.a_RI.clone()
        a_RI[: self.directions] += sigma * z_RI
        return a_RI.float(), self.b_OR.float()


def rotated(a_RI: Tensor, b_OR: Tensor) -> RotatedAdapter | None:
    """Return an adapter rotated; one of a layer that the member does not adapt (both are zero) has no directions.

    None is for one that has learned nothing: B alone is zero, so that nobody knows which directions it would change.
    """
    a_RI, b_OR = a_RI.double().cpu(), b_OR.double().cpu()
    used_R = (a_RI != 0).any(dim=1) | (b_OR != 0).any(dim=0)  # a lower rank than the company's is filled up with zeros
    turned_a, turned_b = torch.zeros_like(a_RI), torch.zeros_like(b_OR)
    if not used_R.any():
        return RotatedAdapter(turned_a, turned_b, directions=0)
    if not b_OR.any():
        return None
    u_OR, d_R, vt_RR = torch.linalg.svd(b_OR[:, used_R], full_matrices=False)
    count = len(d_R)
    turned_a[:count], turned_b[:, :count] = d_R[:, None] * (vt_RR @ a_RI[used_R]), u_OR
    update_OI = b_OR @ a_RI
    assert (turned_b @ turned_a - update_OI).norm() <= EXACT * update_OI.norm(), "a rotation leaves the update alone"
    return RotatedAdapter(turned_a, turned_b, directions=int((d_R > SMALLEST * d_R[0]).sum()))
