"""Members that train on: all at once as alone, by the training's own arithmetic, and no further than is good."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.models.heads.everything_else import EverythingElse
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.taps.moments import MemberMoments, WalkPlan
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.events import EpochEnded, Stepped
from ensemble_uq_llm.training.walking.walk import as_trained, walk
from small_training import DATA, SEEDS, answer_tokens, config, examples, member_weights, stack, trained_stack

PLAN = WalkPlan(epochs=3, rate=0.5, snapshots=10, rank=4, tolerance=0.5)
STOPPING = examples(24, seed=5)
TO_STOP = TrainingData(train=DATA.train, validation=DATA.validation, stopping=STOPPING)


def equal(first: MemberMoments, second: MemberMoments) -> bool:
    """Whether two moments are equal bit for bit, deviations included."""
    return first.count == second.count and all(
        torch.equal(a[name], b[name])
        for a, b in [
            (first.means, second.means),
            (first.squares, second.squares),
            *zip(first.deviations, second.deviations, strict=True),
        ]
        for name in first.means
    )


@pytest.mark.parametrize("head", [{}, {"head": "answer", "lora_target_modules": ("q_proj", "lm_head")}], ids=str)
def test_in_company_bit_for_bit_as_alone(tiny_base: Path, head):
    settings = config(use_bf16=True, lora_dropout=0.2, num_epochs=1, **head)
    together = walk(trained_stack(tiny_base, settings), TO_STOP, settings, PLAN)
    for index in (0, 2):
        [alone] = walk(trained_stack(tiny_base, settings, SEEDS[index : index + 1]), TO_STOP, settings, PLAN)
        assert equal(together[index], alone)
        assert alone.count > 4
        assert max(float(each.max()) for each in alone.variances().values()) > 0
    assert not equal(together[0], together[1])
    assert (answer_tokens(settings) is None) == (head == {})


def test_the_ensemble_is_left_as_it_was(tiny_base: Path):
    settings = config(lora_dropout=0.2, num_epochs=1)
    ensemble = trained_stack(tiny_base, settings)
    before, spec = [member_weights(ensemble, index) for index in range(3)], ensemble.spec
    walk(ensemble, TO_STOP, settings, PLAN)
    assert ensemble.spec == spec
    for index, expected in enumerate(before):
        assert all(torch.equal(each, expected[name]) for name, each in member_weights(ensemble, index).items())
    assert all(parameter.grad is None for parameter in ensemble.trainable())


def test_snapshots_are_those_of_a_trajectory_that_is_watched(tiny_base: Path):
    settings = config(num_epochs=1)
    ensemble = trained_stack(tiny_base, settings)
    seen, events = [MemberMoments(rank=4) for _ in SEEDS], []

    def watch(event):
        events.append(event)
        if isinstance(event, Stepped) and event.step > 7:
            for index, own in enumerate(seen):
                own.note(member_weights(ensemble, index))

    moments = walk(ensemble, TO_STOP, settings, PLAN, listeners=[watch])
    assert [each.epoch for each in events if isinstance(each, EpochEnded)] == [2, 3, 4]
    steps = [each for each in events if isinstance(each, Stepped)]
    assert [each.step for each in steps] == list(range(7, 25))[: len(steps)]
    rates = [each.learning_rate for each in steps]
    assert rates == pytest.approx([settings.learning_rate * 0.5] * len(rates))
    assert all(equal(found, expected) for found, expected in zip(moments, seen, strict=True))


def test_members_that_are_loaded_go_the_way_of_those_that_were_trained(tiny_base: Path):
    """Loading moves the scale into B; the trajectory is the same, and its moments are of the loaded form."""
    settings = config(num_epochs=1, lora_dropout=0.2)
    ensemble = trained_stack(tiny_base, settings)
    expected = walk(ensemble, TO_STOP, settings, PLAN)
    with torch.no_grad():
        for name, each in ensemble.named_stacks():
            each.mul_(2.0 if ".lora_B." in name else 1.0)
    ensemble.rescale(scaling=1.0, dropout=0.0)
    loaded = walk(ensemble, TO_STOP, settings, PLAN)
    for found, own in zip(loaded, expected, strict=True):
        assert equal(found, own.scaled(lambda name: 2.0 if ".lora_B." in name else 1.0))
    assert (ensemble.spec.scaling, ensemble.spec.dropout) == (1.0, 0.0)


def test_what_was_changed_for_training_is_put_back_after_an_error(tiny_base: Path):
    ensemble = stack(tiny_base, config(), SEEDS)
    ensemble.rescale(scaling=1.0, dropout=0.0)
    before = member_weights(ensemble, 1)

    def interrupted() -> None:
        with as_trained(ensemble, config(lora_dropout=0.3)):
            assert (ensemble.spec.scaling, ensemble.spec.dropout) == (2.0, 0.3)
            ensemble.trainable()[0].data.fill_(7)
            raise ZeroDivisionError("on the way")

    with pytest.raises(ZeroDivisionError, match="on the way"):
        interrupted()
    assert (ensemble.spec.scaling, ensemble.spec.dropout) == (1.0, 0.0)
    assert all(torch.equal(each, before[name]) for name, each in member_weights(ensemble, 1).items())


def test_without_a_stopping_split_it_goes_to_the_end_and_says_so(tiny_base: Path):
    settings = config(num_epochs=1)
    with pytest.warns(UserWarning, match="which holds such a part out"):
        moments = walk(trained_stack(tiny_base, settings), replace(TO_STOP, stopping=None), settings, PLAN)
    assert {each.count for each in moments} == {17}


def loss_of(ensemble, index: int, tensors: dict[str, torch.Tensor]) -> float:
    """A member's cross-entropy on the stopping split with these weights, by torch."""
    with torch.no_grad():
        for name, each in ensemble.named_stacks():
            each[index].copy_(tensors[name])
    logits_NC = torch.from_numpy(member_logits(ensemble, STOPPING.sequences, budget=300)[index])
    return float(torch.nn.functional.cross_entropy(logits_NC, torch.from_numpy(STOPPING.labels_N)))


def test_a_trajectory_that_over_trains_ends_before_its_mean_is_worse_than_its_parent(tiny_base: Path):
    """Steps so steep that members learn the rows by heart: their loss on others soon rises."""
    settings = config(num_epochs=1, learning_rate=2e-2, warmup_steps=0)
    ensemble = trained_stack(tiny_base, settings)
    plan = replace(PLAN, epochs=6, tolerance=0.0, snapshots=36)
    parents = [member_weights(ensemble, index) for index in range(3)]
    losses = [loss_of(ensemble, index, own) for index, own in enumerate(parents)]
    moments = walk(ensemble, TO_STOP, settings, plan)
    with pytest.warns(UserWarning, match="which holds such a part out"):
        unchecked = walk(ensemble, replace(TO_STOP, stopping=None), settings, plan)
    ended = [index for index in range(3) if moments[index].count < unchecked[index].count]
    assert ended, "the case must have something to end"
    for index, own in enumerate(moments):
        assert own.count == 0 or loss_of(ensemble, index, own.means) <= losses[index] * (1 + 1e-6)
    assert max(loss_of(ensemble, index, unchecked[index].means) / losses[index] for index in ended) > 1


def test_a_head_that_tells_of_everything_else_is_trained_on_the_answers_alone(tiny_base: Path):
    settings = config(num_epochs=1, head="answer", lora_target_modules=("q_proj", "lm_head"))
    ensemble = trained_stack(tiny_base, settings)
    expected = walk(ensemble, TO_STOP, settings, PLAN)
    ensemble.head.rest = EverythingElse(ensemble.head.lm_head, answer_tokens(settings), device=torch.device("cpu"))
    ensemble.head.width += 1
    found = walk(ensemble, TO_STOP, settings, PLAN)
    assert all(equal(one, other) for one, other in zip(found, expected, strict=True))
    assert (ensemble.head.width, ensemble.head.rest is None) == (3, False)


def test_a_request_to_stop_is_heard_after_the_step_and_leaves_the_ensemble_as_it_was(tiny_base: Path):
    settings = config(num_epochs=1)
    ensemble = trained_stack(tiny_base, settings)
    before, steps = member_weights(ensemble, 0), []

    def ask(event):
        if isinstance(event, Stepped):
            steps.append(event.step)
            stop.request("SIGTERM")

    with stop.listening(), pytest.raises(stop.StopRequested, match="SIGTERM"):
        walk(ensemble, TO_STOP, settings, PLAN, listeners=[ask])
    assert len(steps) == 1
    assert all(torch.equal(each, before[name]) for name, each in member_weights(ensemble, 0).items())
