"""Training stopped at any step and gone on with elsewhere is training that was never stopped, bit for bit."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.training.epochs import train_epochs
from ensemble_uq_llm.training.events import Ended, EpochEnded, Event, Started, Stepped
from ensemble_uq_llm.training.state import Snapshot, TrainingState, make_optimizer
from small_training import DATA, SEEDS, config, fresh_state, slices, stack, stacked_with_gradients

STEPS_IN_EPOCH = 6


class StopError(Exception):
    """Thrown into training to end it."""


def stop_after(event: Event, number: int, kind: type[Event] = Stepped) -> bool:
    return isinstance(event, kind) and (event.step if isinstance(event, Stepped) else event.epoch) == number


def run(state: TrainingState, settings: Config, *, stop: tuple[int, type[Event]] | None = None) -> list[Event]:
    """Train from where the state stands, to the end or to the stop; returns what was told, without times."""
    told: list[Event] = []

    def listen(event: Event) -> None:
        if not isinstance(event, Started | Ended):
            told.append(replace(event, tokens_per_second=0.0) if isinstance(event, Stepped) else event)
        if stop is not None and stop_after(event, *stop):
            raise StopError

    try:
        train_epochs(state, DATA, settings, listeners=[listen])
    except StopError:
        assert stop is not None
    return told


def on_disk_and_back(snapshot: Snapshot) -> Snapshot:
    return Snapshot(
        tensors=load(save(snapshot.tensors)), values=json.loads(json.dumps(snapshot.values, allow_nan=False))
    )


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def check_continuation(base: Path, settings: Config, stop: tuple[int, type[Event]]) -> None:
    undisturbed = fresh_state(stack(base, settings, SEEDS), settings)
    told = run(undisturbed, settings)
    stopped = fresh_state(stack(base, settings, SEEDS), settings)
    before = run(stopped, settings, stop=stop)
    assert 0 < len(before) < len(told)
    resumed = fresh_state(stack(base, settings, SEEDS), settings)
    resumed.restore(on_disk_and_back(stopped.capture()))
    after = run(resumed, settings)
    assert before + after == told
    expected, found = undisturbed.capture(), resumed.capture()
    assert same(found.tensors, expected.tensors)
    assert found.values == expected.values
    assert resumed.outcomes == undisturbed.outcomes


STOPS = [(1, Stepped), (4, Stepped), (STEPS_IN_EPOCH, Stepped), (1, EpochEnded), (STEPS_IN_EPOCH + 3, Stepped)]


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: f"{stop[1].__name__}-{stop[0]}")
def test_training_goes_on_from_any_step_bit_for_bit(tiny_base: Path, stop: tuple[int, type[Event]], bf16: bool) -> None:
    """With dropout, accumulation, a schedule, several epochs and several passes a step."""
    settings = config(lora_dropout=0.2, num_epochs=2, use_bf16=bf16, warmup_steps=8)
    check_continuation(tiny_base, settings, stop)


@pytest.mark.parametrize("bf16", [False, True])
def test_training_goes_on_with_a_trunk_and_in_lanes(tiny_base: Path, bf16: bool) -> None:
    settings = config(lora_dropout=0.2, num_epochs=2, use_bf16=bf16, lora_layers=(1,), tokens_per_pass=60)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        check_continuation(tiny_base, settings, (4, Stepped))
    finally:
        torch.set_num_threads(threads)


def test_a_snapshot_before_the_first_step_starts_training(tiny_base: Path) -> None:
    settings = config(num_epochs=1)
    first, second = (fresh_state(stack(tiny_base, settings, SEEDS), settings) for _ in range(2))
    second.restore(on_disk_and_back(first.capture()))
    assert run(second, settings) == run(first, settings)
    assert same(second.capture().tensors, first.capture().tensors)


def test_later_steps_leave_a_snapshot_alone_and_so_does_what_is_restored_from_it(tiny_base: Path) -> None:
    settings = config(num_epochs=1)
    state = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    run(state, settings, stop=(2, Stepped))
    snapshot = state.capture()
    kept = on_disk_and_back(snapshot)
    run(state, settings)
    restored = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    restored.restore(snapshot)
    run(restored, settings)
    assert same(snapshot.tensors, kept.tensors)
    assert snapshot.values == kept.values
    assert same(state.capture().tensors, restored.capture().tensors)


def test_a_member_that_diverged_stays_so(tiny_base: Path) -> None:
    settings = config(num_epochs=2)
    state = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    with torch.no_grad():
        state.ensemble.trainable()[0][1, 0, 0] = math.nan
    run(state, settings, stop=(1, EpochEnded))
    restored = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    restored.restore(on_disk_and_back(state.capture()))
    assert [outcome.diverged_at for outcome in restored.outcomes] == [None, 1, None]
    assert math.isnan(restored.outcomes[1].loss)
    assert restored.outcomes[1].diverged_why == "its loss is not finite"
    assert restored.outcomes[1].history == []
    assert restored.outcomes[0] == state.outcomes[0]
    assert not any(type(event).__name__ == "MemberDiverged" for event in run(restored, settings))


def test_passes_that_were_made_smaller_stay_so(tiny_base: Path) -> None:
    settings = config()
    first, second = (fresh_state(stack(tiny_base, settings, SEEDS), settings) for _ in range(2))
    first.budget.tokens = 77
    second.restore(first.capture())
    assert second.budget.tokens == 77


def test_what_does_not_fit_is_refused(tiny_base: Path) -> None:
    settings = config()
    snapshot = fresh_state(stack(tiny_base, settings, SEEDS), settings).capture()
    others = fresh_state(stack(tiny_base, settings, SEEDS[:2]), settings)
    with pytest.raises(IntegrityError, match=r"of the members \[\[42, 0\], \[7, 0\], \[1234, 0\]\], and these are"):
        others.restore(snapshot)
    wider = fresh_state(stack(tiny_base, config(lora_r=8), SEEDS), config(lora_r=8))
    with pytest.raises(IntegrityError, match=r"lora_A\.weight is \(3, 4, \d+\) there and \(3, 8, \d+\) here"):
        wider.restore(snapshot)
    fewer = fresh_state(stack(tiny_base, config(lora_layers=(1,)), SEEDS), config(lora_layers=(1,)))
    with pytest.raises(IntegrityError, match=r"layers\.0\..* there and absent here"):
        fewer.restore(snapshot)


def test_stacked_adamw_is_bit_equal_to_one_adamw_a_member() -> None:
    config = Config(learning_rate=0.01, warmup_steps=3, weight_decay=0.1)
    stacked = stacked_with_gradients(0)
    alone = [slices(stacked, member) for member in range(3)]
    joint = make_optimizer(stacked, config, steps=20)
    separate = [make_optimizer(own, config, steps=20) for own in alone]
    for step in range(20):
        gradients = stacked_with_gradients(step + 1)
        for parameter, source in zip(stacked, gradients, strict=True):
            parameter.grad = source.grad
        for optimizer, schedule in (joint, *separate):
            if optimizer is not joint[0]:
                member = [each[0] for each in separate].index(optimizer)
                for each, source in zip(alone[member], gradients, strict=True):
                    each.grad = source.grad[member].clone()
            optimizer.step()
            schedule.step()
    for member, own in enumerate(alone):
        assert all(torch.equal(parameter[member], each) for parameter, each in zip(stacked, own, strict=True))


def test_the_schedule_is_that_of_transformers() -> None:
    config = Config(learning_rate=0.01, warmup_steps=4)
    parameter = nn.Parameter(torch.zeros(1, 1, 1))
    optimizer, schedule = make_optimizer([parameter], config, steps=10)
    peer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.01)
    peer_schedule = get_linear_schedule_with_warmup(peer, 4, 10)
    rates = []
    for _ in range(10):
        rates.append((schedule.get_last_lr()[0], peer_schedule.get_last_lr()[0]))
        optimizer.step()
        peer.step()
        schedule.step()
        peer_schedule.step()
    assert all(ours == theirs for ours, theirs in rates)
    assert max(ours for ours, _ in rates) == 0.01
