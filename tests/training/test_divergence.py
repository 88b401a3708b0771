"""A member that diverges is found soon, and one that only begins badly, learns noise, or meets a wild batch is not."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ensemble_uq_llm.training.divergence import FEWEST_STEPS, MARGIN, DivergenceRule, constant_answers_loss
from ensemble_uq_llm.training.epochs import train_epochs
from ensemble_uq_llm.training.events import Event, MemberDiverged, Stepped
from ensemble_uq_llm.training.outcomes import MemberOutcome
from small_training import DATA, SEEDS, config, fresh_state, stack

LN2 = math.log(2)
RULE = DivergenceRule(constant_loss=LN2, window=20, warmup=0)


def told(losses, rule=RULE, norm=1.0) -> MemberOutcome:
    """What becomes of a member with these losses."""
    outcome = MemberOutcome(seed=1)
    for step, loss in enumerate(losses, start=1):
        if outcome.is_training:
            outcome.note_loss(step, loss)
            rule.judge([outcome], [norm])
    return outcome


@pytest.mark.parametrize("weights", [None, (0.2, 3.0, 1.5)])
def test_the_constant_answers_loss_is_the_least_that_one_answer_for_all_can_have(weights):
    labels_N = np.array([0] * 7 + [1] * 2 + [2] * 4)
    logits_C = torch.zeros(3, requires_grad=True)
    descent = torch.optim.LBFGS([logits_C], max_iter=200)
    weights_C = None if weights is None else torch.tensor(weights)

    def loss():
        descent.zero_grad()
        value = F.cross_entropy(logits_C.expand(13, 3), torch.from_numpy(labels_N), weight=weights_C)
        value.backward()
        return value

    descent.step(loss)
    found = constant_answers_loss(labels_N, class_weights=weights)
    assert found == pytest.approx(loss().item(), abs=1e-5)


def test_one_class_has_a_constant_answer_without_loss():
    assert constant_answers_loss(np.zeros(5, np.int64), class_weights=None) == 0.0


def test_a_window_is_half_an_epoch_and_no_less_than_some_steps():
    settings = config(batch_size=1, gradient_accumulation_steps=1, warmup_steps=7)
    rule = DivergenceRule.of(np.arange(101) % 2, settings, class_weights=None)
    assert (rule.window, rule.warmup) == (51, 7)
    assert rule.constant_loss == pytest.approx(LN2, abs=1e-3)
    assert DivergenceRule.of(np.arange(6) % 2, settings, class_weights=None).window == FEWEST_STEPS


def test_a_loss_far_above_a_constant_answers_for_a_window_is_a_divergence():
    outcome = told([0.7] * 20 + [9.3] * 40)
    assert outcome.diverged_at == 40
    assert outcome.diverged_why == "a mean loss of 9.3 or more over 20 steps, far above a constant answer's 0.69"
    assert not outcome.is_training


def test_a_divergence_within_a_window_is_found_at_its_end_or_at_the_next_ones():
    for start in range(1, 40):
        assert told([0.7] * start + [9.3] * 60).diverged_at in (20, 40, 60)
        assert told([0.7] * start + [9.3] * 60).diverged_at <= start + 30


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param([LN2 + MARGIN - 0.01] * 100, id="just below the margin"),
        pytest.param([0.7] * 30 + [1000.0] * 3 + [0.7] * 67, id="wild batches"),
        pytest.param([8.0 * 0.97**step for step in range(100)], id="a base that starts far off"),
        pytest.param([8.0] * 100, id="one that starts far off and does not learn"),
        pytest.param([0.7, *[9.3] * 4, *[0.7] * 95], id="much shorter than a window"),
    ],
)
def test_what_is_no_divergence(losses):
    assert told(losses).diverged_at is None


def test_losses_of_the_warmup_do_not_count():
    losses = [0.7, *[9.3] * 39, *[0.7] * 20]
    assert told(losses).diverged_at == 20
    assert told(losses, replace(RULE, warmup=40)).diverged_at is None
    assert told([*losses, *[9.3] * 20], replace(RULE, warmup=40)).diverged_at == 80


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_a_divergence_at_once(norm):
    outcome = told([0.7] * 5, norm=norm)
    assert (outcome.diverged_at, outcome.diverged_why) == (1, "its gradient is not finite")


def test_a_loss_that_is_not_finite_is_named_before_its_gradient():
    outcome = told([0.7, math.nan, 0.7], norm=math.nan)
    assert (outcome.diverged_at, outcome.diverged_why) == (1, "its gradient is not finite")
    outcome = MemberOutcome(seed=1)
    outcome.note_loss(1, math.nan)
    RULE.judge([outcome], [math.nan])
    assert outcome.diverged_why == "its loss is not finite"


def test_a_gradient_is_lost_to_its_own_member_only(tiny_base: Path):
    """In training: the member is told of and excluded though its losses are finite; the others stay finite."""
    settings = config(num_epochs=1)
    state = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Stepped) and event.step == 2:
            state.ensemble.trainable()[-1].register_hook(lose)

    def lose(gradient):
        lost = gradient.clone()
        lost[1] = math.inf
        return lost

    train_epochs(state, DATA, settings, listeners=[listen])
    (diverged,) = [event for event in events if isinstance(event, MemberDiverged)]
    assert diverged == MemberDiverged(seed=SEEDS[1], step=3, reason="its gradient is not finite")
    assert [outcome.is_training for outcome in state.outcomes] == [True, False, True]
    assert all(bool(torch.isfinite(stack[[0, 2]]).all()) for stack in state.ensemble.trainable())


def test_members_of_a_wild_learning_rate_diverge_and_healthy_ones_do_not(tiny_base: Path):
    for rate, expected in ((3e-3, False), (10.0, True)):
        settings = config(learning_rate=rate, num_epochs=8, warmup_steps=0, batch_size=4, gradient_accumulation_steps=1)
        state = fresh_state(stack(tiny_base, settings, SEEDS), settings)
        train_epochs(state, DATA, settings)
        assert [outcome.diverged_at is not None for outcome in state.outcomes] == [expected] * len(SEEDS)


def test_a_resumed_run_judges_as_the_undisturbed_one(tiny_base: Path):
    settings = config(learning_rate=10.0, num_epochs=8, warmup_steps=0, batch_size=4, gradient_accumulation_steps=1)
    whole = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    snapshots = []

    def listen(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 13:
            snapshots.append(whole.capture())

    train_epochs(whole, DATA, settings, listeners=[listen])
    resumed = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    resumed.restore(snapshots[0])
    assert all(outcome.window_loss > 0 for outcome in resumed.outcomes)
    train_epochs(resumed, DATA, settings)
    assert resumed.outcomes == whole.outcomes
    assert any(outcome.diverged_at for outcome in whole.outcomes)
