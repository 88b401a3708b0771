"""Which epochs of a trajectory count: those after which the mean is good on the stopping split."""

import math
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.training.events import EpochEnded, Stepped
from ensemble_uq_llm.training.walking.snapshots import Snapshots
from small_training import SEEDS, config, fresh_state, stack


@pytest.fixture
def state(tiny_base: Path):
    return fresh_state(stack(tiny_base, config(), SEEDS), config())


def step(state, snapshots: Snapshots, number: int, change: float = 1.0) -> None:
    with torch.no_grad():
        for parameter in state.ensemble.trainable():
            parameter.add_(change)
    snapshots(Stepped(step=number, epoch=1, learning_rate=0.1, losses={}, tokens_per_second=1.0))


def end(snapshots: Snapshots, epoch: int) -> None:
    snapshots(EpochEnded(epoch=epoch, validation_loss={}, validation_accuracy={}))


def counts(snapshots: Snapshots) -> list[int]:
    return [each.count for each in snapshots.moments]


def test_a_snapshot_is_taken_after_every_so_many_steps_beyond_the_first(state):
    snapshots = Snapshots(state, every=3, beyond=10, rank=2)
    for number in range(1, 20):
        step(state, snapshots, number)
    assert counts(snapshots) == [0, 0, 0], "an epoch counts when it is over"
    end(snapshots, 1)
    assert counts(snapshots) == [3, 3, 3]
    assert all(len(each.deviations) == 2 for each in snapshots.moments)


def test_an_epoch_whose_mean_is_worse_is_forgotten_and_ends_its_member_alone(state):
    losses = iter([[0.5, 0.5, 0.5], [0.5, 0.7, 0.6], [0.5, math.nan, 0.61]])
    snapshots = Snapshots(state, every=1, beyond=0, rank=2, losses=lambda: next(losses), limits=[0.6, 0.6, 0.6])
    for epoch in (1, 2, 3):
        for number in (1, 2):
            step(state, snapshots, 2 * epoch + number)
        end(snapshots, epoch)
    assert counts(snapshots) == [6, 2, 4]
    assert [outcome.stopped_after for outcome in state.outcomes] == [None, 2, 3]


def test_what_is_judged_is_the_mean_and_the_stacks_stay(state):
    seen = []
    first = state.ensemble.trainable()[0]

    def losses():
        seen.append(first.detach().clone())
        return [0.0, 0.0, 0.0]

    snapshots = Snapshots(state, every=1, beyond=0, rank=2, losses=losses, limits=[1.0] * 3)
    before = first.detach().clone()
    for number in (1, 2, 3):
        step(state, snapshots, number)
    end(snapshots, 1)
    torch.testing.assert_close(seen[0], before + 2)
    torch.testing.assert_close(first.detach(), before + 3)


def test_a_member_that_diverges_keeps_what_it_had_before(state):
    snapshots = Snapshots(state, every=1, beyond=0, rank=2)
    step(state, snapshots, 1)
    end(snapshots, 1)
    with torch.no_grad():
        state.ensemble.trainable()[0][1] = math.nan
    step(state, snapshots, 2)
    state.outcomes[2].diverge("a test")
    step(state, snapshots, 3)
    end(snapshots, 2)
    assert counts(snapshots) == [3, 1, 1]
    assert state.outcomes[1].stopped_after == 2
    assert all(each.isfinite().all() for own in snapshots.moments for each in own.means.values())
