import torch
import torch.nn.functional as F

from ensemble_uq_llm.models.pack import Span
from ensemble_uq_llm.training.loss import member_losses

LABELS = torch.tensor([0, 2, 1, 1, 0])
SPANS = (Span(0, 0, 3), Span(2, 3, 5))


def test_each_member_has_the_mean_over_its_own_batch() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    losses = member_losses(logits, LABELS, spans=SPANS, batch_sizes_M=[3, 4, 2])
    torch.testing.assert_close(losses[0], F.cross_entropy(logits[:3], LABELS[:3]))
    assert losses[1] == 0
    torch.testing.assert_close(losses[2], F.cross_entropy(logits[3:], LABELS[3:]))


def test_passes_of_one_batch_add_up_to_its_mean() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    whole = member_losses(logits, LABELS, spans=(Span(0, 0, 5),), batch_sizes_M=[5])
    parts = [
        member_losses(logits[rows], LABELS[rows], spans=(Span(0, 0, len(LABELS[rows])),), batch_sizes_M=[5])
        for rows in (slice(0, 2), slice(2, 5))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_a_nan_stays_with_its_member() -> None:
    logits = torch.zeros(5, 3)
    logits[4] = torch.nan
    logits.requires_grad_()
    losses = member_losses(logits, LABELS, spans=SPANS, batch_sizes_M=[3, 1, 2])
    losses.sum().backward()
    assert losses[0].isfinite()
    assert losses[2].isnan()
    assert logits.grad is not None
    assert logits.grad[:3].isfinite().all()
