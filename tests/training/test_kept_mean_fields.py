"""Which epochs of variational training count: those after which the mean is good on the stopping split."""

import math
from pathlib import Path

import pytest
import torch
from torch import Generator

from ensemble_uq_llm.training.events import EpochEnded, Stepped
from ensemble_uq_llm.training.walking.kept_mean_fields import KeptMeanFields
from ensemble_uq_llm.training.walking.variational_newton import VariationalNewton
from small_training import SEEDS, config, fresh_state, stack


@pytest.fixture
def state(tiny_base: Path):
    return fresh_state(stack(tiny_base, config(), SEEDS), config())


def newton_on(state) -> VariationalNewton:
    stacks = dict(state.ensemble.named_stacks())
    return VariationalNewton(
        stacks,
        {name: torch.ones_like(each) for name, each in stacks.items()},
        rate=0.1,
        strength=100.0,
        precision=1.0,
        momentum=0.9,
        memory=0.99,
        generators_at=lambda step: [Generator().manual_seed(seed + step) for seed in SEEDS],
    )


def step(state, newton: VariationalNewton, gradient: float = 1.0) -> None:
    for parameter in state.ensemble.trainable():
        parameter.grad = torch.full_like(parameter, gradient)
    newton.step()


def end(kept: KeptMeanFields, epoch: int) -> None:
    kept(EpochEnded(epoch=epoch, validation_loss={}, validation_accuracy={}))


def test_an_epoch_whose_mean_is_worse_does_not_count_and_says_why_where_it_is_the_last(state):
    losses = iter([[0.7, 0.5, 0.5], [0.5, math.nan, 0.6], [0.5, 0.7, 0.61]])
    newton = newton_on(state)
    kept = KeptMeanFields(state, newton, losses=lambda: next(losses), limits=[0.6, 0.6, 0.6])
    for epoch in (1, 2, 3):
        step(state, newton)
        end(kept, epoch)
    assert [each.epochs for each in kept.fields] == [3, 1, 2]
    assert all(outcome.is_training for outcome in state.outcomes)
    assert kept.fields[1].ended == "after epoch 3 its mean has a loss of 0.7, above 0.6"
    assert kept.fields[0].ended == ""
    for name, mean in newton.means(0).items():
        assert torch.equal(kept.fields[0].means[name], mean)
        assert torch.equal(kept.fields[0].variances[name], newton.variances(0)[name])
        assert not torch.equal(kept.fields[1].means[name], newton.means(1)[name])


def test_what_is_judged_is_the_mean_and_the_draws_stay(state):
    newton, seen = newton_on(state), []
    first = state.ensemble.trainable()[0]

    def losses():
        seen.append(first.detach().clone())
        return [0.0] * 3

    kept = KeptMeanFields(state, newton, losses=losses, limits=[1.0] * 3)
    step(state, newton)
    drawn = first.detach().clone()
    end(kept, 1)
    assert torch.equal(seen[0], newton.state[first]["mean"])
    assert torch.equal(first, drawn)


def test_a_member_that_diverges_keeps_what_it_had_before_and_says_so(state):
    newton = newton_on(state)
    kept = KeptMeanFields(state, newton)
    step(state, newton)
    end(kept, 1)
    state.outcomes[0].diverge("a test")
    kept(Stepped(step=2, epoch=2, learning_rate=0.1, losses={}, tokens_per_second=1.0))
    newton.state[state.ensemble.trainable()[0]]["mean"][1] = math.nan
    end(kept, 2)
    assert [each.epochs for each in kept.fields] == [1, 1, 2]
    assert kept.fields[0].ended == "it diverged at step 0: a test"
    assert kept.fields[1].ended == "it diverged at step 0: its weights are not finite"
    assert all(each.isfinite().all() for own in kept.fields for each in own.means.values())
