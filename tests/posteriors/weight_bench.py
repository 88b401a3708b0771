"""What every maker's samples must be, as checks that raise AssertionError; `test_weight_bench.py` plants errors in it.

They take samples as numbers, so that a maker, a file on disk or a planted error can be held against the same check.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.pack import Tokens
from ensemble_uq_llm.posteriors.maker import LabelledRows, Made, Parents, Weights
from tiny_models import random_sequences, randomise, spec, tiny_llama

SEEDS = (42, 43, 44)
ERRORS = 5.0
"""Standard errors that chance is allowed: 6e-7."""


def ensemble_of(seeds: Sequence[int] = SEEDS, *, dtype: torch.dtype = torch.float32, **adapters) -> StackedEnsemble:
    decoder = tiny_llama(dtype=dtype)
    return randomise(StackedEnsemble(decoder, spec=spec(decoder=decoder, **adapters), members=trained(seeds)))


def parents_of(
    seeds: Sequence[int] = SEEDS, *, anchor: int = 0, dtype: torch.dtype = torch.float32, **adapters
) -> Parents:
    """Return randomised members, and so many anchor rows whose labels are what the members together say."""
    parents = Parents(ensemble=ensemble_of(seeds, dtype=dtype, **adapters), budget=4096, dropouts=(0.1,) * len(seeds))
    return replace(parents, anchor=anchor_rows(anchor)) if anchor else parents


def anchor_rows(count: int) -> LabelledRows:
    sequences = random_sequences(count, seed=5, lowest=3, highest=12)
    labels_N = member_logits(ensemble_of(), sequences, budget=4096).mean(axis=0).argmax(axis=1)
    return LabelledRows(sequences=sequences, labels_N=labels_N, options_N=None, digest="anchor")


def noise_of(parents: Parents, made: Made, name: str) -> Tensor:
    """Return what samples add to a tensor of their parents: [M, S, ...] in float64."""
    stack = parents.stacks()[name].double()
    return torch.stack(
        [torch.stack([each[name].double() for each in own]) - stack[index] for index, own in enumerate(made.samples)]
    )


def check_moments(draws_SD: Tensor, *, mean_D: Tensor, variance_D: Tensor) -> None:
    """Hold that draws have this mean in every place, and over all places this scale: the mean of z^2 is 1."""
    draws, _ = draws_SD.shape
    z_SD = (draws_SD - mean_D) / variance_D.sqrt()
    off = z_SD.mean(dim=0).abs().max() * draws**0.5
    assert off < ERRORS + 1, f"the mean is off by {off:.1f} standard errors somewhere"
    squares_SD = z_SD.square()
    error = squares_SD.std() / squares_SD.numel() ** 0.5
    off = (squares_SD.mean() - 1).abs() / error
    assert off < ERRORS, f"the variance is {squares_SD.mean():.3f} times what it should be ({off:.1f} standard errors)"


def check_members_are_independent(noise_MSD: Tensor) -> None:
    """Hold that no two members' noise, in the same sample and the same place, goes together."""
    flat = noise_MSD.flatten(1)
    correlation_MM = torch.corrcoef(flat)
    others = correlation_MM[~torch.eye(len(flat), dtype=torch.bool)].abs().max() * flat.shape[1] ** 0.5
    assert others < ERRORS, f"the noise of two members goes together ({others:.1f} standard errors from none)"


def check_samples_are_independent(noise_MSD: Tensor) -> None:
    """Hold that no two samples of a member go together."""
    for noise_SD in noise_MSD:
        check_members_are_independent(noise_SD[:, None])


def check_is_one_set_of_weights(logits_of: Callable[[Sequence[Tokens]], Tensor], sequences: Sequence[Tokens]) -> None:
    """Hold that a sample says the same of a row wherever it stands: its weights are those of all rows and tokens."""
    once_NC, again_NC = logits_of(sequences), logits_of(list(reversed(sequences))).flip(0)
    twice_NC = logits_of([*sequences, *sequences])[len(sequences) :]
    for other_NC in (again_NC, twice_NC):
        off = (once_NC - other_NC).abs().max() / once_NC.abs().max()
        assert off < 1e-5, f"a row's logits depend on where it stands: they differ by {off:.1e}"


@torch.no_grad()
def put_on(ensemble: StackedEnsemble, index: int, sample: Weights) -> None:
    """Give a member a sample's weights."""
    for name, stack in ensemble.named_stacks():
        if name in sample:
            stack[index].copy_(sample[name])


def logits_of(ensemble: StackedEnsemble, index: int = 0) -> Callable[[Sequence[Tokens]], Tensor]:
    return lambda sequences: torch.from_numpy(member_logits(ensemble, sequences, budget=4096, members=[index])[0])


def equal(a: Made, b: Made, *, of: int, to: int = 0) -> bool:
    """Whether the samples of member `of` are, bit for bit, those of member `to` of another company."""
    pairs = list(zip(a.samples[of], b.samples[to], strict=True))
    return all(x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x) for x, y in pairs)
