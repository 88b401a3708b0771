"""The proofs of joint training: equal to separate PEFT runs, independent of company, deaf to a NaN."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import get_linear_schedule_with_warmup

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models import trunk
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.events import EpochEnded, Event, MemberDiverged, Stepped
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.training.step import epoch_batches
from small_training import DATA, SEEDS, answer_tokens, config, stack, train_all
from tiny_models import assert_close, peft_answerer, peft_member

QV = ("q_proj", "v_proj")
ANSWERING = {"head": "answer", "lora_target_modules": (*QV, "lm_head")}


def run(tiny_base: Path, settings: Config, seeds: Sequence[int]) -> tuple[StackedEnsemble, dict[int, list[float]]]:
    ensemble = stack(tiny_base, settings, seeds)
    losses: dict[int, list[float]] = {seed: [] for seed in seeds}

    def note(event: Event) -> None:
        if isinstance(event, Stepped):
            for seed, loss in event.losses.items():
                losses[seed].append(loss)

    train_all(ensemble, replace(DATA, class_weights=settings.class_weights), settings, listeners=[note])
    return ensemble, losses


def weights_of(ensemble: StackedEnsemble, seed: int) -> dict[str, Tensor]:
    member = ensemble.members.index(MemberId(seed))
    return {name: parameter[member].detach().clone() for name, parameter in ensemble.named_stacks()}


def largest_difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Of any entry, relative to the largest entry of its tensor."""
    return max(float((first[name] - second[name]).abs().max() / second[name].abs().max()) for name in second)


def train_with_peft(
    tiny_base: Path, ensemble: StackedEnsemble, member: int, settings: Config
) -> tuple[list[float], dict]:
    """What a user does today: one seed, padded micro-batches, accumulation, clipping, AdamW, the same schedule."""
    tokens = answer_tokens(settings)
    model = (peft_member if tokens is None else partial(peft_answerer, tokens=tokens))(
        tiny_base,
        ensemble,
        member,
        targets=settings.lora_target_modules,
        rank=settings.lora_r,
        alpha=settings.lora_alpha,
    ).train()
    model.base_model.model.config.pad_token_id = 0
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    size, count = settings.effective_batch_size, len(DATA.train)
    weights_C = None if settings.class_weights is None else torch.tensor(settings.class_weights)
    steps = math.ceil(count / size) * settings.num_epochs
    schedule = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, steps)
    losses = []
    for epoch in range(settings.num_epochs):
        for rows in epoch_batches(ensemble.members[member].seed, epoch=epoch, examples=count, batch_size=size):
            loss_sum = 0.0
            for start in range(0, len(rows), settings.batch_size):
                own = rows[start : start + settings.batch_size]
                sequences = [torch.from_numpy(DATA.train.sequences[row]).long() for row in own]
                input_ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
                mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in sequences], batch_first=True)
                logits = model(input_ids=input_ids, attention_mask=mask).logits
                if tokens is not None:
                    logits = logits[torch.arange(len(own)), mask.sum(1) - 1][:, list(tokens)]
                labels = torch.from_numpy(DATA.train.labels_N[own])
                loss = F.cross_entropy(logits, labels, weight=weights_C, reduction="sum")
                loss = loss / (len(rows) if weights_C is None else weights_C[DATA.train.labels_N[rows]].sum())
                loss.backward()
                loss_sum += loss.item()
            torch.nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss_sum)
    named = {name.replace(".default", ""): parameter.detach() for name, parameter in model.named_parameters()}
    if (b_VR := named.get("base_model.model.lm_head.lora_B.weight")) is not None:
        named["base_model.model.lm_head.lora_B.weight"] = b_VR[list(tokens)]
        assert b_VR.count_nonzero() == b_VR[list(tokens)].count_nonzero(), "no other row is ever trained"
    return losses, {
        name: named[f"base_model.model.{name}".replace("model.score.", "model.score.modules_to_save.")]
        for name, _ in ensemble.named_stacks()
    }


def assert_equals_separate_peft_runs(base: Path, settings: Config) -> None:
    """Hold that members trained together have the losses and weights of runs of `peft`, one after another."""
    fresh = stack(base, settings, SEEDS)
    trained, losses = run(base, settings, SEEDS)
    for member, seed in enumerate(SEEDS):
        peer_losses, peer_weights = train_with_peft(base, fresh, member, settings)
        assert len(peer_losses) >= 20
        np.testing.assert_allclose(losses[seed], peer_losses, rtol=1e-5)
        assert largest_difference(weights_of(trained, seed), peer_weights) < 1e-4
        assert largest_difference(weights_of(fresh, seed), peer_weights) > 0.05, "training must have moved the member"


@pytest.mark.parametrize(("budget", "class_weights"), [(60, None), (300, None), (100_000, None), (300, (0.2, 5.0))])
def test_joint_training_equals_separate_peft_runs(
    tiny_base: Path, budget: int, class_weights: tuple[float, float] | None
) -> None:
    settings = config(tokens_per_pass=budget, class_weights=class_weights)
    assert_equals_separate_peft_runs(tiny_base, settings)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
@pytest.mark.parametrize("targets", [QV, (*QV, "lm_head")], ids=str)
def test_joint_training_with_the_answer_head_equals_separate_peft_runs(tiny_base: Path, targets) -> None:
    settings = config(head="answer", lora_target_modules=targets)
    assert_equals_separate_peft_runs(tiny_base, settings)


COMPANIES = ((3,), (3, 7), (9, 8, 7, 6, 5, 4, 3, 2, 1, 0), (4, 0, 3, 8, 1, 9, 2, 6, 5, 7))


@pytest.mark.parametrize("head", [{}, ANSWERING], ids=["classification", "answer"])
@pytest.mark.parametrize("company", COMPANIES[1:])
def test_a_member_is_bit_equal_whatever_its_company_in_bf16(
    tiny_base: Path, company: tuple[int, ...], head: dict[str, object]
) -> None:
    settings = config(use_bf16=True, lora_dropout=0.2, num_epochs=2, seeds=tuple(range(10)), **head)
    alone, losses_alone = run(tiny_base, settings, COMPANIES[0])
    together, losses = run(tiny_base, settings, company)
    assert losses[3] == losses_alone[3]
    expected, found = weights_of(alone, 3), weights_of(together, 3)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("head", [{}, ANSWERING], ids=["classification", "answer"])
@pytest.mark.parametrize("company", COMPANIES[1:])
def test_a_member_is_the_same_up_to_rounding_in_fp32(
    tiny_base: Path, company: tuple[int, ...], head: dict[str, object]
) -> None:
    settings = config(lora_dropout=0.2, num_epochs=2, seeds=tuple(range(10)), **head)
    alone, losses_alone = run(tiny_base, settings, COMPANIES[0])
    together, losses = run(tiny_base, settings, company)
    np.testing.assert_allclose(losses[3], losses_alone[3], rtol=1e-6)
    assert largest_difference(weights_of(together, 3), weights_of(alone, 3)) < 1e-4


def test_different_seeds_and_dropout_make_different_members(tiny_base: Path) -> None:
    settings = config(num_epochs=1)
    plain, _ = run(tiny_base, settings, (3, 7))
    dropped, _ = run(tiny_base, config(num_epochs=1, lora_dropout=0.2), (3, 7))
    assert largest_difference(weights_of(plain, 3), weights_of(plain, 7)) > 0.1
    assert largest_difference(weights_of(plain, 3), weights_of(dropped, 3)) > 1e-3


def test_the_same_run_twice_is_bit_equal(tiny_base: Path) -> None:
    settings = config(lora_dropout=0.2, num_epochs=1)
    first, second = (run(tiny_base, settings, SEEDS)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.trainable(), second.trainable(), strict=True))


@pytest.mark.parametrize("bf16", [False, True])
def test_a_member_driven_to_nan_is_taken_out_and_the_others_go_on_as_without_it(tiny_base: Path, bf16: bool) -> None:
    """Bit for bit in bfloat16; in float32 up to rounding, as with any other company."""
    settings = config(lora_dropout=0.2, num_epochs=2, use_bf16=bf16)
    healthy, _ = run(tiny_base, settings, SEEDS)
    poisoned = stack(tiny_base, settings, SEEDS)
    events: list[Event] = []

    def poison(event: Event) -> None:
        events.append(event)
        if isinstance(event, Stepped) and event.step == 3:
            with torch.no_grad():
                next(iter(poisoned.adapters.values())).lora_a_MRI[1, 0, 0] = math.nan

    outcomes = train_all(poisoned, DATA, settings, listeners=[poison])
    assert [outcome.diverged_at for outcome in outcomes] == [None, 4, None]
    diverged = MemberDiverged(seed=SEEDS[1], step=4, reason="its loss is not finite")
    assert [event for event in events if isinstance(event, MemberDiverged)] == [diverged]
    assert [SEEDS[1] in event.losses for event in events if isinstance(event, Stepped)] == [True] * 4 + [False] * 8
    assert all(SEEDS[1] not in event.validation_loss for event in events if isinstance(event, EpochEnded))
    for seed in (SEEDS[0], SEEDS[2]):
        expected, found = weights_of(healthy, seed), weights_of(poisoned, seed)
        if bf16:
            assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert largest_difference(found, expected) < 1e-4


def test_a_member_that_has_diverged_costs_no_further_pass(tiny_base: Path) -> None:
    settings = config(num_epochs=2)
    ensemble, seen = stack(tiny_base, settings, SEEDS), []
    whole = ensemble.forward

    def forward(pack, **inputs):
        seen.append({span.member for span in pack.token_spans})
        return whole(pack, **inputs)

    ensemble.forward = forward

    def poison(event: Event) -> None:
        if isinstance(event, MemberDiverged):
            seen.clear()
        if isinstance(event, Stepped) and event.step == 3:
            with torch.no_grad():
                ensemble.trainable()[0][1, 0, 0] = math.nan

    train_all(ensemble, DATA, settings, listeners=[poison])
    assert set().union(*seen) == {0, 2}


def test_when_all_members_have_diverged_training_ends_at_once(tiny_base: Path) -> None:
    settings = config(num_epochs=2)
    ensemble, events = stack(tiny_base, settings, SEEDS), []

    def poison(event: Event) -> None:
        events.append(event)
        if isinstance(event, Stepped) and event.step == 3:
            with torch.no_grad():
                ensemble.trainable()[0].fill_(math.nan)

    outcomes = train_all(ensemble, DATA, settings, listeners=[poison])
    assert [outcome.diverged_at for outcome in outcomes] == [4, 4, 4]
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Started", *["Stepped"] * 3, *["MemberDiverged"] * 3, "Stepped", "Ended"]


def test_validation_is_measured_each_epoch_for_each_member(tiny_base: Path) -> None:
    settings = config(num_epochs=2)
    ensemble, events = stack(tiny_base, settings, SEEDS), []
    outcomes = train_all(ensemble, DATA, settings, listeners=[events.append])
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert [event.epoch for event in epochs] == [1, 2]
    fresh = peft_member(
        tiny_base, ensemble, 0, targets=settings.lora_target_modules, rank=settings.lora_r, alpha=settings.lora_alpha
    ).eval()
    with torch.no_grad():
        logits = torch.cat([fresh(torch.from_numpy(s).long()[None]).logits for s in DATA.validation.sequences])
    labels = torch.from_numpy(DATA.validation.labels_N)
    assert epochs[-1].validation_loss[SEEDS[0]] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert epochs[-1].validation_accuracy[SEEDS[0]] == pytest.approx(accuracy)
    assert outcomes[0].history[-1]["validation_loss"] == epochs[-1].validation_loss[SEEDS[0]]


def test_unlabelled_validation_data_are_left_out(tiny_base: Path) -> None:
    unlabelled = TokenizedExamples(
        ids=DATA.validation.ids,
        tokens_T=DATA.validation.tokens_T,
        lengths_N=DATA.validation.lengths_N,
        labels_N=np.full(len(DATA.validation), -1),
        is_cut_N=DATA.validation.is_cut_N,
    )
    events: list[Event] = []
    settings = config(num_epochs=1)
    data = TrainingData(train=DATA.train, validation=unlabelled)
    train_all(stack(tiny_base, settings, SEEDS), data, settings, listeners=[events.append])
    assert [event.validation_loss for event in events if isinstance(event, EpochEnded)] == [{}]


def test_training_that_measures_no_epoch_is_the_same_training(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    settings = {"model_name": str(tiny_base), "train_file": tiny_data, "validation_file": tiny_data}
    measured = config(**settings, output_dir=tmp_path / "measured", num_epochs=2)
    unmeasured = config(**settings, output_dir=tmp_path / "unmeasured", num_epochs=2, validate_epochs=False)
    events: list[Event] = []
    train(measured)
    train(unmeasured, listeners=[events.append])
    assert [event.validation_loss for event in events if isinstance(event, EpochEnded)] == [{}, {}]
    for seed in SEEDS:
        first, second = (RunFolder(each.output_dir).member(MemberId(seed)) for each in (measured, unmeasured))
        weights = "adapter_model.safetensors"
        assert (first / weights).read_bytes() == (second / weights).read_bytes()


def test_training_with_a_trunk_is_training_without_one(tiny_base: Path, monkeypatch):
    settings = config(lora_layers=(1,), lora_dropout=0.2, num_epochs=2)
    trained = []
    for memory in (10**12, 0):
        ensemble = stack(tiny_base, settings, SEEDS)
        monkeypatch.setattr(trunk, "free_bytes", lambda device, memory=memory: memory)
        seen = []
        whole = ensemble.trunk
        monkeypatch.setattr(ensemble, "trunk", lambda pack, whole=whole, seen=seen: seen.append(pack) or whole(pack))
        outcomes = train_all(ensemble, DATA, settings)
        assert len(seen) > 0
        trained.append((ensemble, [outcome.loss for outcome in outcomes]))
    (cached, losses), (plain, plain_losses) = trained
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-5)
    for ours, theirs in zip(cached.trainable(), plain.trainable(), strict=True):
        assert_close(ours.detach(), theirs.detach(), relative=1e-4)
