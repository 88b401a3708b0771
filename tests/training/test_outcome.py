import math

import pytest

from ensemble_uq_llm.training.outcome import MemberOutcome


def test_losses_are_noted():
    outcome = MemberOutcome(seed=42)
    assert math.isnan(outcome.loss)
    assert not outcome.note_loss(1, 0.7)
    assert not outcome.note_loss(2, 0.6)
    assert (outcome.loss, outcome.steps, outcome.diverged_at) == (0.6, 2, None)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_divergence_is_told_once_and_keeps_its_step(loss):
    outcome = MemberOutcome(seed=42)
    outcome.note_loss(1, 0.7)
    assert outcome.note_loss(2, loss)
    assert not outcome.note_loss(3, math.nan)
    assert not outcome.note_loss(4, 0.5)
    assert outcome.diverged_at == 2
    assert outcome.steps == 4


def test_histories_are_not_shared():
    MemberOutcome(seed=1).history.append({"epoch": 1})
    assert MemberOutcome(seed=2).history == []
