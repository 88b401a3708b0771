import math
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils import clip_grad_norm_

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.models.memory import PassBudget
from ensemble_uq_llm.models.pack import Span, make_pack
from ensemble_uq_llm.training.state import new_state
from ensemble_uq_llm.training.step import Trainer, clip_per_member, epoch_batches, member_losses, train_step
from small_training import DATA, SEEDS, config, slices, stack, stacked_with_gradients

GOLDEN = [[1, 4, 2, 6, 3], [0, 7, 5]]
"""The first epoch of member 42 over eight examples: members on disk depend on it."""

ANY_SEED = st.integers(0, 2**63 - 1)


def batches(seed, epoch, examples, batch_size):
    return [batch.tolist() for batch in epoch_batches(seed, epoch=epoch, examples=examples, batch_size=batch_size)]


@given(seed=ANY_SEED, epoch=st.integers(0, 100), examples=st.integers(1, 200), batch_size=st.integers(1, 50))
def test_an_epoch_sees_every_example_once(seed, epoch, examples, batch_size):
    found = batches(seed, epoch, examples, batch_size)
    assert sorted(chain(*found)) == list(range(examples))
    config = Config(batch_size=batch_size, gradient_accumulation_steps=1, num_epochs=1)
    assert len(found) == config.optimizer_steps(examples)
    assert all(len(batch) == batch_size for batch in found[:-1])
    assert 1 <= len(found[-1]) <= batch_size


@given(seed=ANY_SEED, examples=st.integers(1, 100), first=st.integers(1, 20), second=st.integers(1, 20))
def test_the_order_does_not_depend_on_the_batch_size(seed, examples, first, second):
    assert [*chain(*batches(seed, 0, examples, first))] == [*chain(*batches(seed, 0, examples, second))]


def test_members_and_epochs_have_orders_of_their_own():
    orders = [tuple(batches(seed, epoch, 50, 50)[0]) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25


def test_members_that_were_trained_before_keep_their_order():
    assert batches(42, 0, 8, 5) == GOLDEN


def test_rows_index_arrays():
    [batch] = epoch_batches(1, epoch=0, examples=3, batch_size=3)
    assert batch.dtype == np.int64


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


@pytest.mark.parametrize("max_norm", [0.1, 3.0, 1000.0])
def test_clipping_is_that_of_each_member_alone(max_norm: float) -> None:
    stacked = stacked_with_gradients(0)
    stacked[0].grad[1] *= 100
    alone = [slices(stacked, member) for member in range(3)]
    norms = clip_per_member(stacked, max_norm)
    for member, own in enumerate(alone):
        torch.testing.assert_close(norms[member], clip_grad_norm_(own, max_norm))
        for parameter, each in zip(stacked, own, strict=True):
            torch.testing.assert_close(parameter.grad[member], each.grad)


def test_clipping_off_leaves_gradients_alone() -> None:
    stacked, untouched = stacked_with_gradients(0), stacked_with_gradients(0)
    clip_per_member(stacked, 0.0)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(stacked, untouched, strict=True))


def test_an_infinite_gradient_spoils_only_its_member() -> None:
    stacked = stacked_with_gradients(0)
    stacked[1].grad[2, 0, 0] = math.inf
    clip_per_member(stacked, 1.0)
    assert all(parameter.grad[:2].isfinite().all() for parameter in stacked)
    assert not all(parameter.grad[2].isfinite().all() for parameter in stacked)


ROWS = tuple(np.random.default_rng(seed).permutation(44)[:8] for seed in SEEDS)


def one_step(
    tiny_base: Path,
    *,
    budget: int,
    max_grad_norm: float = 1.0,
    dropout: float = 0.0,
    memory: int | None = None,
    bf16: bool = False,
):
    """Take a step; `memory` is how many tokens a pass may have before it runs out of it, in the backward."""
    settings = config(lora_dropout=dropout, warmup_steps=0, use_bf16=bf16)
    ensemble = stack(tiny_base, settings, SEEDS)
    state = new_state(ensemble, settings, steps=10)
    state.budget = PassBudget(budget)
    trainer = Trainer(state=state, data=DATA.train, max_grad_norm=max_grad_norm)
    if memory is not None:
        exhaust(ensemble, memory)
    return train_step(trainer, ROWS), ensemble


def exhaust(ensemble, memory: int) -> None:
    """Let the backward of every pass of more tokens fail, as late as a real one may."""
    whole = ensemble.forward

    def forward(pack, **settings):
        logits_BC = whole(pack, **settings)
        if pack.tokens_T.numel() > memory:
            logits_BC.register_hook(fail)
        return logits_BC

    def fail(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    ensemble.forward = forward


@pytest.mark.parametrize("budget", [1, 50, 400])
def test_a_step_does_not_depend_on_how_it_is_cut_into_passes(tiny_base: Path, budget: int) -> None:
    losses, ensemble = one_step(tiny_base, budget=budget)
    whole_losses, whole = one_step(tiny_base, budget=10**6)
    torch.testing.assert_close(losses, whole_losses, rtol=1e-5, atol=0)
    for ours, theirs in zip(ensemble.trainable(), whole.trainable(), strict=True):
        # AdamW's first step is lr * sign(gradient): a gradient that is zero up to rounding may turn
        assert ((ours - theirs).abs() < 1e-5).float().mean() > 0.995


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("threads", [2, 3])
def test_a_step_does_not_depend_on_the_lanes(tiny_base: Path, threads: int, bf16: bool) -> None:
    settings = {"budget": 60, "dropout": 0.3, "bf16": bf16}
    losses, one_lane = one_step(tiny_base, **settings)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        lane_losses, lanes = one_step(tiny_base, **settings)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(lane_losses, losses)
    for ours, theirs in zip(lanes.trainable(), one_lane.trainable(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_step_moves_every_member_and_frees_the_gradients(tiny_base: Path) -> None:
    _, fresh = one_step(tiny_base, budget=10**6)
    before = stack(tiny_base, config(), SEEDS)
    for (name, after), (_, initial) in zip(fresh.named_stacks(), before.named_stacks(), strict=True):
        assert after.grad is None
        if ".lora_A." not in name:  # A has no gradient while B is zero
            assert all(not torch.equal(after[m], initial[m]) for m in range(len(SEEDS))), name


def test_the_frozen_base_stays_as_it_was(tiny_base: Path) -> None:
    _, trained = one_step(tiny_base, budget=10**6)
    untouched = stack(tiny_base, config(), SEEDS)
    names = {name for name, parameter in trained.named_parameters() if not parameter.requires_grad}
    assert names
    state, original = trained.state_dict(), untouched.state_dict()
    assert all(torch.equal(state[name], original[name]) for name in names)


def test_dropout_of_a_step_is_reproducible_and_differs_between_steps(tiny_base: Path) -> None:
    first, _ = one_step(tiny_base, budget=10**6, dropout=0.5)
    again, _ = one_step(tiny_base, budget=10**6, dropout=0.5)
    assert torch.equal(first, again)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_step_that_runs_out_of_memory_is_taken_in_smaller_passes_with_the_same_result(
    tiny_base: Path, dropout: float
) -> None:
    with pytest.warns(UserWarning, match=r"out of memory: passes of 400 tokens instead of 800 from here on"):
        losses, ensemble = one_step(tiny_base, budget=800, memory=400, dropout=dropout)
    small_losses, small = one_step(tiny_base, budget=400, dropout=dropout)
    assert torch.equal(losses, small_losses)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(ensemble.trainable(), small.trainable(), strict=True))


@pytest.mark.filterwarnings("ignore:out of memory")
def test_a_prompt_that_does_not_fit_alone_is_the_users_to_solve(tiny_base: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_length: a pass of a single prompt of \d+ tokens does not fit"):
        one_step(tiny_base, budget=800, memory=5)


WEIGHTS = (0.25, 3.0, 1.5)


def test_class_weights_are_those_of_torch() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    weights_C = torch.tensor(WEIGHTS)
    sums = [float(weights_C[labels].sum()) for labels in (LABELS[:3], LABELS[3:])]
    losses = member_losses(logits, LABELS, spans=SPANS, batch_sizes_M=[sums[0], 0.0, sums[1]], weights_C=weights_C)
    torch.testing.assert_close(losses[0], torch.nn.CrossEntropyLoss(weight=weights_C)(logits[:3], LABELS[:3]))
    torch.testing.assert_close(losses[2], torch.nn.CrossEntropyLoss(weight=weights_C)(logits[3:], LABELS[3:]))


@pytest.mark.parametrize("budget", [10_000, 60])
def test_a_step_with_class_weights_has_torchs_gradients(tiny_base: Path, budget: int) -> None:
    settings = config(warmup_steps=0)
    ensemble = stack(tiny_base, settings, SEEDS)
    state = new_state(ensemble, settings, steps=10)
    state.budget = PassBudget(budget)
    trainer = Trainer(state=state, data=DATA.train, max_grad_norm=0.0, class_weights=(0.2, 5.0))
    before = [parameter.detach().clone() for parameter in ensemble.trainable()]
    losses = train_step(trainer, ROWS)

    own = stack(tiny_base, settings, SEEDS)
    assert all(torch.equal(parameter, each) for parameter, each in zip(own.trainable(), before, strict=True))
    reference = new_state(own, settings, steps=10)
    pack = make_pack(
        [(m, [DATA.train.sequences[row] for row in rows]) for m, rows in enumerate(ROWS)], device=torch.device("cpu")
    )
    loss = torch.nn.CrossEntropyLoss(weight=torch.tensor([0.2, 5.0]))
    logits = own(pack).split([len(rows) for rows in ROWS])
    expected = [
        loss(each, torch.from_numpy(DATA.train.labels_N[rows])) for each, rows in zip(logits, ROWS, strict=True)
    ]
    torch.testing.assert_close(losses, torch.stack(expected).detach())
    sum(expected).backward()
    reference.optimizer.step()
    for parameter, each in zip(ensemble.trainable(), own.trainable(), strict=True):
        torch.testing.assert_close(parameter, each, rtol=1e-4, atol=1e-6)


def test_equal_weights_are_none(tiny_base: Path) -> None:
    settings = config(warmup_steps=0)
    results = []
    for weights in (None, (2.0, 2.0)):
        ensemble = stack(tiny_base, settings, SEEDS)
        trainer = Trainer(
            state=new_state(ensemble, settings, steps=10), data=DATA.train, max_grad_norm=1.0, class_weights=weights
        )
        results.append(train_step(trainer, ROWS))
    torch.testing.assert_close(results[0], results[1])


def test_the_loss_of_a_row_is_that_of_its_own_options_and_the_others_get_no_gradient():
    rng = torch.Generator().manual_seed(3)
    logits = torch.randn(4, 5, generator=rng).requires_grad_()
    labels, options, weights = torch.tensor([2, 0, 3, 1]), torch.tensor([3, 5, 4, 2]), torch.rand(5, generator=rng)
    spans = (Span(0, 0, 1), Span(1, 1, 4))
    for weights_C in (None, weights):
        losses = member_losses(
            logits, labels, spans=spans, batch_sizes_M=[1, 3], weights_C=weights_C, options_B=options
        )
        own = [
            F.cross_entropy(logits[row, :count], labels[row]) * (1 if weights_C is None else weights_C[labels[row]])
            for row, count in enumerate(options.tolist())
        ]
        torch.testing.assert_close(losses, torch.stack([own[0], sum(own[1:]) / 3]))
        [ours] = torch.autograd.grad(losses.sum(), logits, retain_graph=True)
        [by_row] = torch.autograd.grad(own[0] + sum(own[1:]) / 3, logits)
        torch.testing.assert_close(ours, by_row)
        assert (ours[torch.arange(5) >= options[:, None]] == 0).all()
