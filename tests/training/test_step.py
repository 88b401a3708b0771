from pathlib import Path

import numpy as np
import pytest
import torch

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.models.memory import PassBudget
from ensemble_uq_llm.training.optimizer import make_optimizer
from ensemble_uq_llm.training.step import Trainer, train_step
from small_training import DATA, SEEDS, config, stack

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
    optimizer, schedule = make_optimizer(ensemble.trainable(), settings, steps=10)
    trainer = Trainer(
        ensemble=ensemble,
        optimizer=optimizer,
        schedule=schedule,
        data=DATA.train,
        max_grad_norm=max_grad_norm,
        budget=PassBudget(budget),
    )
    if memory is not None:
        exhaust(ensemble, memory)
    return train_step(trainer, ROWS, step=1), ensemble


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
