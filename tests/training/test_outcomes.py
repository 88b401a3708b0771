import json
import math
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError, MembersFailedError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.models.lora.peft_folder import read_adapter
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.outcomes import (
    SETTINGS,
    Digests,
    LostMembers,
    MemberOutcome,
    MemberRecord,
    check_same_making,
    failures,
    member_settings,
    raise_if_any_failed,
    read_member_record,
    save_members,
)
from ensemble_uq_llm.utils.files import sha256_of
from small_runs import put
from small_training import SEEDS, config, stack

DIGESTS = Digests(data="d", base="b")

NOT_OF_A_MEMBER = {
    "option_columns", "answer_form",
    "allow_unproven_model", "answer_mass",
    "model_name", "model_revision", "dataset", "train_file", "validation_file", "label_column", "id_column",
    "class_names", "max_train_examples", "max_validation_examples", "seeds", "num_ensemble_models",
    "bootstrap_draws", "bootstrap_seed", "output_dir", "cache_dir", "device", "num_gpus", "tokens_per_pass",
    "log_to", "checkpoint_steps", "checkpoint_minutes", "resume", "validate_epochs",
}  # fmt: skip
"""Keys that leave a member as it is, or that the digests of base and data cover."""

OTHER = {
    "chat_template": True,
    "append_eos": True,
    "num_labels": 3,
    "prompt_template": "{passage} {question}",
    "cut_column": "question",
    "lora_target_modules": ("o_proj",),
    "lora_layers": (0,),
    "use_bf16": False,
    "keep": "best",
    "early_stopping_patience": 2,
    "class_weights": "balanced",
}


def test_losses_are_noted():
    outcome = MemberOutcome(seed=42)
    assert math.isnan(outcome.loss)
    outcome.note_loss(1, 0.7)
    outcome.note_loss(2, 0.6)
    assert (outcome.loss, outcome.steps, outcome.diverged_at) == (0.6, 2, None)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_divergence_keeps_its_first_step(loss):
    outcome = MemberOutcome(seed=42)
    outcome.note_loss(1, 0.7)
    outcome.note_loss(2, loss)
    outcome.note_loss(3, math.nan)
    outcome.note_loss(4, 0.5)
    assert outcome.diverged_at == 2
    assert outcome.steps == 4


def test_histories_are_not_shared():
    MemberOutcome(seed=1).history.append({"epoch": 1})
    assert MemberOutcome(seed=2).history == []


def save(tiny_base: Path, root: Path, outcomes: list[MemberOutcome], *, spoil: int | None = None):
    settings = config(model_name=str(tiny_base), output_dir=root)
    ensemble = stack(tiny_base, settings, SEEDS)
    if spoil is not None:
        with torch.no_grad():
            ensemble.head.weight_MCH[spoil, 0, 0] = math.inf
    save_members(ensemble, outcomes, RunFolder(root), config=settings, digests=Digests(data="d", base="b"))
    return ensemble, RunFolder(root)


def test_members_are_written_whole_with_their_record(tiny_base: Path, tmp_path: Path) -> None:
    outcomes = [MemberOutcome(seed=seed, loss=0.5, steps=9) for seed in SEEDS]
    ensemble, folder = save(tiny_base, tmp_path, outcomes)
    assert folder.members() == [MemberId(seed) for seed in sorted(SEEDS)]
    assert not list(tmp_path.glob(".*")), "no temporary folder is left"
    for member, seed in enumerate(SEEDS):
        record = json.loads(folder.member_record(MemberId(seed)).read_text())
        assert record["seed"] == seed
        assert record["weights_sha256"] == sha256_of(folder.member(MemberId(seed)) / "adapter_model.safetensors")
        head_CH = read_adapter(folder.member(MemberId(seed))).head["score.weight"]
        assert torch.equal(head_CH, ensemble.head.weight_MCH[member])


def test_diverged_members_and_wild_weights_are_not_written(tiny_base: Path, tmp_path: Path) -> None:
    outcomes = [MemberOutcome(seed=seed, loss=0.5, steps=9) for seed in SEEDS]
    outcomes[0].diverged_at = 4
    _, folder = save(tiny_base, tmp_path, outcomes, spoil=2)
    assert folder.members() == [MemberId(seed) for seed in [SEEDS[1]]]
    assert [outcome.diverged_at for outcome in outcomes] == [4, None, 9]


def record(seed=42, **more):
    values = {"settings": member_settings(Config()), "weights_sha256": "w", "steps": 3, "final_train_loss": 0.5}
    return MemberRecord(**{"seed": seed, "data_digest": "d", "base_digest": "b", **values, **more})


@pytest.fixture
def folder(tmp_path):
    run = RunFolder(tmp_path)
    put(run, run.member_record(MemberId(42)), record(history=[{"epoch": 1, "validation_loss": 0.5}]).as_json())
    return run


def test_a_record_is_read_as_it_was_written(folder):
    found = read_member_record(folder, MemberId(42))
    assert found == record(history=[{"epoch": 1, "validation_loss": 0.5}])


def test_a_further_sample_says_which_it_is(tmp_path):
    run, member = RunFolder(tmp_path), MemberId(42, 3)
    put(run, run.member_record(member), record(sample=3).as_json())
    assert read_member_record(run, member).sample == 3
    assert "sample" not in record().as_json()


def test_every_key_either_makes_a_member_or_does_not():
    assert set(SETTINGS) | NOT_OF_A_MEMBER == set(Config.model_fields)
    assert not set(SETTINGS) & NOT_OF_A_MEMBER


def test_settings_survive_json():
    settings = member_settings(Config(lora_layers=(0, 1)))
    assert json.loads(json.dumps(settings)) == settings


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"seed": 42}', '{"unknown": 1}', "not json"])
def test_what_is_no_record_is_told(folder, content):
    put(folder, folder.member_record(MemberId(42)), content)
    with pytest.raises(IntegrityError, match=r"member\.json: .*; delete .*seed_42 to train it anew"):
        read_member_record(folder, MemberId(42))


def test_an_absent_record_is_told(tmp_path):
    with pytest.raises(IntegrityError, match=r"seed_7.member\.json: .*; delete .*seed_7 to train it anew"):
        read_member_record(RunFolder(tmp_path), MemberId(7))


def test_the_same_making_passes(folder):
    check_same_making(folder, trained([42]), Config(), digests=DIGESTS)
    check_same_making(folder, [], Config(lora_r=64), digests=Digests(data="x", base="y"))


@pytest.mark.parametrize("key", sorted(NOT_OF_A_MEMBER & {"seeds", "device", "tokens_per_pass", "output_dir"}))
def test_other_members_and_machines_are_no_difference(folder, key):
    value = {"seeds": (1,), "device": "cpu", "tokens_per_pass": 99, "output_dir": Path("x")}[key]
    check_same_making(folder, trained([42]), Config().model_copy(update={key: value}), digests=DIGESTS)


@pytest.mark.parametrize("key", sorted({*SETTINGS} - {"head", "answers"}))
def test_another_setting_is_refused_by_name(folder, key):
    value = OTHER[key] if key in OTHER else getattr(Config(), key) / 2 if key == "learning_rate" else None
    if value is None:
        value = getattr(Config(), key) + (0.25 if isinstance(getattr(Config(), key), float) else 1)
    config = Config().model_copy(update={key: value})
    with pytest.raises(
        ConfigError, match=rf"holds the member of seed 42, made differently:\n  {key}: .* there, .* now\nUse another"
    ):
        check_same_making(folder, trained([42]), config, digests=DIGESTS)


def test_another_head_brings_other_answers(folder):
    config = Config(head="answer")
    told = (
        r"made differently:\n  head: 'classification' there, 'answer' now\n  answers: None there, \[' no', ' yes'\] now"
    )
    with pytest.raises(ConfigError, match=told):
        check_same_making(folder, trained([42]), config, digests=DIGESTS)


def test_a_record_of_an_earlier_version_did_what_the_defaults_of_later_keys_do(folder):
    path = folder.member_record(MemberId(42))
    record = json.loads(path.read_text())
    for key in ("keep", "early_stopping_patience", "stopping_fraction", "class_weights"):
        del record["settings"][key]
    put(folder, path, record)
    check_same_making(folder, trained([42]), Config(), digests=DIGESTS)
    with pytest.raises(ConfigError, match="class_weights: None there, 'balanced' now"):
        check_same_making(folder, trained([42]), Config(class_weights="balanced"), digests=DIGESTS)


@pytest.mark.parametrize(
    ("digests", "message"),
    [
        (Digests(data="x", base="b"), "the training data differ"),
        (Digests(data="d", base="x"), "the base model's files differ"),
    ],
)
def test_other_data_or_another_base_are_refused(folder, digests, message):
    with pytest.raises(ConfigError, match=message):
        check_same_making(folder, trained([42]), Config(), digests=digests)


def test_all_differences_are_told(folder):
    config = Config(lora_r=4, num_epochs=9)
    with pytest.raises(ConfigError, match=r"num_epochs: 3 there, 9 now\n  lora_r: 8 there, 4 now\n  the training data"):
        check_same_making(folder, trained([42]), config, digests=Digests(data="x", base="b"))


def test_without_failures_nothing_is_raised(tmp_path):
    raise_if_any_failed([MemberOutcome(seed=1)], [], config(output_dir=tmp_path))


DIVERGED = [MemberOutcome(seed=1, diverged_at=7), MemberOutcome(seed=2)]
KILLED = LostMembers(seeds=(3, 5), device="cuda:1", error=MembersFailedError("its process was ended by SIGKILL"))
UNFIT = LostMembers(seeds=(4,), device="cuda:2", error=ConfigError("max_length: does not fit"))
BAD = LostMembers(seeds=(1,), device="cpu", error=DataError("bad"))

OTHERS = r"the other is saved in run"
AGAIN = r"The same command trains those that are missing"


@pytest.mark.parametrize(
    ("outcomes", "lost", "kind", "message"),
    [
        (
            DIVERGED,
            [],
            MembersFailedError,
            rf"^1 of 2 members diverged \(seed 1 at step 7\); {OTHERS}\. Lower",
        ),
        (DIVERGED[:1], [], MembersFailedError, r"^1 of 1 members diverged \(seed 1 at step 7\); none is saved\. Lower"),
        (
            DIVERGED[1:],
            [KILLED],
            MembersFailedError,
            rf"^2 of 3 members were not trained; {OTHERS}:\n"
            rf"  cuda:1, seeds 3 and 5: its process was ended by SIGKILL\n{AGAIN}$",
        ),
        (DIVERGED[1:], [UNFIT], ConfigError, rf"; {OTHERS}:\n  cuda:2, seed 4: max_length: does not fit\n{AGAIN}$"),
        (DIVERGED, [UNFIT], MembersFailedError, rf"^1 of 3 .* not trained(.|\n)*{AGAIN}\n1 of 3 members diverged"),
        ([], [KILLED, UNFIT], MembersFailedError, r"^3 of 3 members .*; none is saved:\n  cuda:1.*\n  cuda:2"),
        ([], [BAD], DataError, r"cpu, seed 1: bad"),
    ],
)
def test_failures_are_told_with_what_is_kept(outcomes, lost, kind, message):
    with pytest.raises(kind, match=message) as caught:
        raise_if_any_failed(outcomes, lost, config(output_dir=Path("run")))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("changes", "steps", "advice"),
    [
        ({}, (1, 7), r"Lower learning_rate \(now 0\.003\) or max_grad_norm \(now 0\.5\), in a new output_dir$"),
        ({"max_grad_norm": 0.0}, (7, 9), r"Lower learning_rate \(now 0\.003\) or set max_grad_norm: 1, in a new"),
        (
            {},
            (1, 1),
            r"The base itself gives numbers that are not finite: set use_bf16: false, or take another",
        ),
    ],
)
def test_what_may_help_against_divergence_depends_on_what_happened(changes, steps, advice):
    outcomes = [MemberOutcome(seed=seed) for seed in range(2)]
    for outcome, step in zip(outcomes, steps, strict=True):
        outcome.note_loss(step, math.nan)
    with pytest.raises(MembersFailedError, match=advice) as told:
        raise_if_any_failed(outcomes, [], config(output_dir=Path("run"), **changes))
    assert f"(seed 0 at step {steps[0]}: its loss is not finite; seed 1 at step" in str(told.value)
    assert failures(outcomes, [])["seed_1"] == f"diverged at step {steps[1]}: its loss is not finite"
