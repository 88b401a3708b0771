"""What members say of anchor rows while a maker changes their weights: losses with their noise, and answers changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.labels.lacking_options import masked
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.posteriors.maker import LabelledRows, Parents, Tell


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What each member says of the anchor rows, over the samples that were pooled."""

    losses_MN: NDArray[np.float64]
    """Negative log-likelihood of the label, of the pooled probability."""
    classes_MN: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class AnchorChange:
    """How one member's answers to the anchor rows differ from those before."""

    nll_before: float
    nll_after: float
    standard_error: float
    """Of their difference, which is paired: over the rows' own differences."""
    flip_rate: float
    """Share of the rows that are answered by another class."""

    @property
    def rise(self) -> float:
        """By how much the loss has risen."""
        return self.nll_after - self.nll_before


def pooled_answers(
    parents: Parents, rows: LabelledRows, draws: Sequence[Callable[[], None]], *, tell: Tell = lambda _share: None
) -> Answers:
    """Return what the members say, their probabilities pooled over draws; each draw sets all members' weights."""
    summed = np.zeros(())
    for place, draw in enumerate(draws):
        draw()

        def tell_pass(done: int, total: int, place: int = place) -> None:
            tell((place + done / total) / len(draws))

        logits_MNC = member_logits(parents.ensemble, rows.sequences, budget=parents.budget, tell=tell_pass)
        own_MNC = masked(logits_MNC[..., : parents.ensemble.spec.classes], rows.options_N)
        summed = summed + np.exp(log_softmax(own_MNC))
    probs_MNC = summed / len(draws)
    label_MN = np.take_along_axis(probs_MNC, rows.labels_N[None, :, None], axis=2)[..., 0]
    with np.errstate(divide="ignore"):
        return Answers(losses_MN=-np.log(label_MN), classes_MN=probs_MNC.argmax(axis=2))


def change_of_member(before: Answers, after: Answers, member: int) -> AnchorChange:
    """Return how a member's answers differ."""
    rises_N = after.losses_MN[member] - before.losses_MN[member]
    return AnchorChange(
        nll_before=float(before.losses_MN[member].mean()),
        nll_after=float(after.losses_MN[member].mean()),
        standard_error=float(rises_N.std(ddof=1) / np.sqrt(len(rises_N))),
        flip_rate=float((after.classes_MN[member] != before.classes_MN[member]).mean()),
    )


@torch.no_grad()
def put_back(parents: Parents, kept: dict[str, torch.Tensor]) -> None:
    """Give the members the weights again that were kept of them."""
    for name, stack in parents.ensemble.named_stacks():
        if name in kept:
            stack.copy_(kept[name])
