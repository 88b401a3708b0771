"""TFB, training-free Bayesianisation: the largest noise that the calibration split does not notice (arXiv:2412.05723).

One number sigma a member, the size of the noise on the update of every layer. It is found with common random numbers:
the z of a sample is the same at every sigma, and those of the search are those of the samples that are made. So the
loss that is told is that of these very samples, and what is returned was accepted, never merely near what was not.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from ensemble_uq_llm.errors import DataError, IntegrityError
from ensemble_uq_llm.posteriors.anchor import AnchorChange, change_of_member, pooled_answers, put_back
from ensemble_uq_llm.posteriors.largest_accepted import Search
from ensemble_uq_llm.posteriors.maker import GeneratorFor, LabelledRows, Made, Maker, Need, Parents, Weights
from ensemble_uq_llm.posteriors.maker_settings import NotNegative, Positive, Times
from ensemble_uq_llm.posteriors.rotated_adapter import RotatedAdapter, rotated
from ensemble_uq_llm.utils.text import enumerated


@dataclass(frozen=True)
class Tfb(Maker):
    """Samples by TFB.

    A sigma is accepted where the loss on the anchor rows rises by no more than `tolerance` of itself, or by no more
    than so many paired `standard_errors` of its rise. A loss that falls is no reason to stop.
    """

    name: ClassVar[str] = "tfb"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.WEIGHTS, Need.ANCHOR_ROWS})
    tolerance: NotNegative = 0.003
    standard_errors: NotNegative = 0.0
    largest: Positive = 1.0
    """No larger sigma is tried."""
    passes: Times = 10
    """Samples that a trial is measured with: the first ones of those that are made."""
    rounds: Times = 10
    """Trials of the search."""

    def make(self, parents: Parents, samples: int, generator_for: GeneratorFor) -> Made:
        """Return so many samples of every member, and each member's sigma with what it does to the anchor rows.

        Raises:
            IntegrityError: a member whose adapter changes nothing. DataError: fewer than two anchor rows.
        """
        if parents.anchor is None or len(parents.anchor.labels_N) < 2:
            raise DataError("tfb: needs a calibration split of two labelled examples at least; hold out more")
        noise = _Noise(parents, generator_for)
        searches, changes = self._search(parents, parents.anchor, noise, range(1, min(samples, self.passes) + 1))
        _warn_of_copies(parents, searches)
        sigmas = [each.accepted for each in searches]
        drawn = [noise.sample(sigmas, sample) for sample in range(1, samples + 1)]
        return Made(
            samples=[[stacks[index] for stacks in drawn] for index in range(len(sigmas))],
            facts=[_facts(search, change, parents.anchor) for search, change in zip(searches, changes, strict=True)],
        )

    def _search(
        self, parents: Parents, rows: LabelledRows, noise: "_Noise", samples: range
    ) -> tuple[list[Search], list[AnchorChange]]:
        """Return every member's search, and the change that what it accepted makes: one prediction serves all."""
        searches = [Search(largest=self.largest) for _ in parents.members]
        try:
            before = pooled_answers(parents, rows, [lambda: None])
            changes = [change_of_member(before, before, index) for index in range(len(searches))]
            for done in range(self.rounds):
                trials = [each.trial for each in searches]
                draws = [partial(noise.put_on, trials, sample) for sample in samples]
                after = pooled_answers(parents, rows, draws, tell=partial(self._tell, parents, done))
                for index, search in enumerate(searches):
                    change = change_of_member(before, after, index)
                    is_accepted = self._accepts(change)
                    changes[index] = change if is_accepted else changes[index]
                    search.note(accepted=is_accepted)
                if all(each.is_over for each in searches):
                    break
        finally:
            put_back(parents, noise.kept)
        return searches, changes

    def _tell(self, parents: Parents, done: int, share: float) -> None:
        parents.tell((done + share) / self.rounds)

    def _accepts(self, change: AnchorChange) -> bool:
        allowed = max(self.tolerance * change.nll_before, self.standard_errors * change.standard_error)
        return change.rise <= allowed


class _Noise:
    """The noise of every member's samples, whatever its sigma."""

    def __init__(self, parents: Parents, generator_for: GeneratorFor) -> None:
        self._parents, self._generator_for = parents, generator_for
        stacks = parents.stacks()
        pairs = {name: (f"{name}.lora_A.weight", f"{name}.lora_B.weight") for name in parents.ensemble.adapters}
        self.kept = {name: stacks[name].clone() for pair in pairs.values() for name in pair}
        self._rotated = {
            layer: [
                _rotated(member.title, layer, stacks[a][index], stacks[b][index])
                for index, member in enumerate(parents.members)
            ]
            for layer, (a, b) in pairs.items()
        }

    def sample(self, sigmas: Sequence[float], sample: int) -> list[Weights]:
        """Return a sample of every member, each with its own sigma; where that is 0 it is the member as it is."""
        return [self._sample_of(index, sigma, sample) if sigma else {} for index, sigma in enumerate(sigmas)]

    def _sample_of(self, index: int, sigma: float, sample: int) -> Weights:
        weights: Weights = {}
        for name, each in self._rotated.items():
            generator = self._generator_for(self._parents.members[index], sample, name)
            a_RI, b_OR = each[index].with_noise(sigma, generator)
            weights |= {f"{name}.lora_A.weight": a_RI, f"{name}.lora_B.weight": b_OR}
        return weights

    @torch.no_grad()
    def put_on(self, sigmas: Sequence[float], sample: int) -> None:
        """Give the members the weights of a sample."""
        drawn = self.sample(sigmas, sample)
        for name, stack in self._parents.ensemble.named_stacks():
            if name in self.kept:
                for index, weights in enumerate(drawn):
                    stack[index].copy_(weights.get(name, self.kept[name][index]))


def _warn_of_copies(parents: Parents, searches: Sequence[Search]) -> None:
    """Warn where no noise at all was accepted: samples that equal their member show nothing."""
    still = [member.title for member, each in zip(parents.members, searches, strict=True) if not each.accepted]
    if still:
        smallest = min(each.rejected for each in searches if each.rejected is not None and not each.accepted)
        warnings.warn(
            f"tfb: no noise was accepted for {enumerated(still)} (sigma {smallest:.2g} was the smallest tried), so the "
            "samples equal the member; hold more rows out, or allow more with --with rounds=NUMBER or "
            "--with tolerance=NUMBER",
            stacklevel=3,
        )


def _rotated(title: str, layer: str, a_RI: Tensor, b_OR: Tensor) -> RotatedAdapter:
    adapter = rotated(a_RI, b_OR)
    if adapter is None:
        raise IntegrityError(
            f"tfb: {title} has learned nothing in {layer} (its B is zero), so noise has no directions; train it, "
            "or leave that layer out of lora_target_modules"
        )
    return adapter


def _facts(search: Search, change: AnchorChange, rows: LabelledRows) -> dict[str, Any]:
    in_errors = change.rise / change.standard_error if change.standard_error else None
    return {
        "sigma": search.accepted,
        "rejected_sigma": search.rejected,
        "anchor_rows": len(rows.labels_N),
        "anchor_digest": rows.digest,
        "anchor_nll_before": change.nll_before,
        "anchor_nll_after": change.nll_after,
        "rise_in_standard_errors": in_errors,
        "flip_rate": change.flip_rate,
    }
