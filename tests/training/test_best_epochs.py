"""Best epochs and early stopping, against what listeners see and against members that are trained alone."""

from itertools import count

import numpy as np
import pytest
import torch

from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.training.epochs import TrainingData, train_epochs
from ensemble_uq_llm.training.events import BestKept, Ended, EpochEnded, MemberStopped, Started, Stepped
from small_training import DATA, SEEDS, config, examples, fresh_state, stack

STOPPING = examples(24, seed=5)
DATA_TO_STOP = TrainingData(train=DATA.train, validation=DATA.validation, stopping=STOPPING)
KEEP_BEST = {
    "keep": "best", "calibration_fraction": 0.2, "num_epochs": 6, "learning_rate": 2e-2, "warmup_steps": 0,
}  # fmt: skip
"""So steep that the members learn the rows by heart: their loss on others soon rises."""


def trained(base, settings, seeds=SEEDS, listeners=()):
    """A state at the end of training, all events, and every member's weights after each epoch: [epochs][names][M]."""
    state = fresh_state(stack(base, settings, seeds), settings)
    events, epochs = [], []

    def watch(event):
        events.append(event)
        if isinstance(event, EpochEnded):
            epochs.append({name: stack.detach().clone() for name, stack in state.ensemble.named_stacks()})

    train_epochs(state, DATA_TO_STOP, settings, listeners=[watch, *listeners])
    return state, events, epochs


def stopping_losses(state):
    """Every member's cross-entropy on the stopping split, by torch."""
    logits_MNC = torch.from_numpy(member_logits(state.ensemble, STOPPING.sequences, budget=300))
    labels_N = torch.from_numpy(STOPPING.labels_N)
    return [float(torch.nn.functional.cross_entropy(logits_NC, labels_N)) for logits_NC in logits_MNC]


def test_the_weights_of_each_members_best_epoch_are_kept(tiny_base):
    state, events, epochs = trained(tiny_base, config(**KEEP_BEST))
    losses = {seed: [each.stopping_loss[seed] for each in events if isinstance(each, EpochEnded)] for seed in SEEDS}
    best = {seed: int(np.argmin(losses[seed])) for seed in SEEDS}

    assert min(best.values()) < 5, "the case must have something to choose"
    assert {each.seed: each.kept_epoch - 1 for each in state.outcomes} == best
    assert [each.epochs for each in events if isinstance(each, BestKept)] == [{s: e + 1 for s, e in best.items()}]
    for member, seed in enumerate(SEEDS):
        for name, stacked in state.ensemble.named_stacks():
            assert torch.equal(stacked[member], epochs[best[seed]][name][member])
    assert stopping_losses(state) == pytest.approx([min(losses[seed]) for seed in SEEDS], rel=1e-5)
    assert [each.stopping_losses for each in state.outcomes] == list(losses.values())
    assert isinstance(events[-1], Ended)


def test_choosing_leaves_the_training_itself_as_it_is(tiny_base):
    _, _, epochs = trained(tiny_base, config(**KEEP_BEST))
    last, _, plain = trained(tiny_base, config(**KEEP_BEST | {"keep": "last"}))

    assert all(torch.equal(epochs[-1][name], plain[-1][name]) for name in plain[-1])
    assert all(torch.equal(stacked, plain[-1][name]) for name, stacked in last.ensemble.named_stacks())
    assert [each.stopping_losses for each in last.outcomes] == [[], [], []]


@pytest.mark.parametrize("patience", [1, 2])
def test_a_member_stops_after_so_many_epochs_without_a_better_one(tiny_base, patience):
    state, events, _ = trained(tiny_base, config(**KEEP_BEST, early_stopping_patience=patience))
    told = {each.seed: each for each in events if isinstance(each, MemberStopped)}

    assert told
    for outcome in state.outcomes:
        losses = outcome.stopping_losses
        assert outcome.kept_epoch == int(np.argmin(losses)) + 1
        assert outcome.stopped_after == (told[outcome.seed].epoch if outcome.seed in told else None)
        if outcome.seed in told:
            assert len(losses) == outcome.stopped_after == outcome.kept_epoch + patience
            assert len(outcome.history) == len(losses)
            assert outcome.steps == len(losses) * 6
        else:
            assert len(losses) == 6
    epochs = max(len(each.stopping_losses) for each in state.outcomes)
    assert sum(isinstance(each, EpochEnded) for each in events) == epochs, "training ends with its last member"
    steps = [each for each in events if isinstance(each, Stepped)]
    for outcome in state.outcomes:
        assert sum(outcome.seed in each.losses for each in steps) == outcome.steps


@pytest.mark.parametrize("bf16", [False, True])
def test_a_members_epoch_does_not_depend_on_its_company(tiny_base, bf16):
    settings = config(**KEEP_BEST, early_stopping_patience=1, use_bf16=bf16, lora_dropout=0.1)
    together, _, _ = trained(tiny_base, settings)
    for member, seed in enumerate(SEEDS):
        alone, _, _ = trained(tiny_base, settings, seeds=[seed])
        [own], other = alone.outcomes, together.outcomes[member]
        assert (own.kept_epoch, own.stopped_after, own.steps) == (other.kept_epoch, other.stopped_after, other.steps)
        for (name, stacked), (_, mine) in zip(
            together.ensemble.named_stacks(), alone.ensemble.named_stacks(), strict=True
        ):
            if bf16:
                assert torch.equal(stacked[member], mine[0]), name
            else:
                torch.testing.assert_close(stacked[member], mine[0], rtol=1e-3, atol=1e-4)


def test_training_goes_on_from_any_step_with_the_best_epochs_so_far(tiny_base):
    settings = config(**KEEP_BEST, early_stopping_patience=2)
    steps = count()
    snapshots = []
    state = fresh_state(stack(tiny_base, settings, SEEDS), settings)

    def capture(event):
        if isinstance(event, Stepped) and next(steps) == 14:
            snapshots.append(state.capture())

    train_epochs(state, DATA_TO_STOP, settings, listeners=[capture])
    restored = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    restored.restore(snapshots[0])
    events = []
    train_epochs(restored, DATA_TO_STOP, settings, listeners=[events.append])

    assert isinstance(events[0], Started)
    assert restored.outcomes == state.outcomes
    for (_, stacked), (_, other) in zip(restored.ensemble.named_stacks(), state.ensemble.named_stacks(), strict=True):
        assert torch.equal(stacked, other)


def test_a_member_without_a_number_is_never_the_best(tiny_base):
    settings = config(**KEEP_BEST, early_stopping_patience=2)
    state = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    for losses in ([0.7, float("nan"), 0.5], [0.6, float("nan"), 0.5], [0.6, float("nan"), 0.6]):
        state.best.note_epoch(state.ensemble, state.outcomes, losses)

    assert [each.kept_epoch for each in state.outcomes] == [2, None, 1]
    assert [each.stopped_after for each in state.outcomes] == [None, 2, 3]
