import json
from pathlib import Path

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.member_record import (
    SETTINGS,
    Digests,
    MemberRecord,
    check_same_making,
    member_settings,
    read_member_record,
)
from ensemble_uq_llm.utils.files import write_json

DIGESTS = Digests(data="d", base="b")

NOT_OF_A_MEMBER = {
    "allow_unproven_model",
    "model_name", "model_revision", "dataset", "train_file", "validation_file", "label_column", "id_column",
    "class_names", "max_train_examples", "max_validation_examples", "seeds", "num_ensemble_models",
    "bootstrap_draws", "bootstrap_seed", "output_dir", "cache_dir", "device", "num_gpus", "tokens_per_pass",
}  # fmt: skip
"""Keys that leave a member as it is, or that the digests of base and data cover."""

OTHER = {
    "num_labels": 3,
    "prompt_template": "{passage} {question}",
    "cut_column": "question",
    "lora_target_modules": ("o_proj",),
    "lora_layers": (0,),
    "use_bf16": False,
}


def record(seed=42, **more):
    values = {"settings": member_settings(Config()), "weights_sha256": "w", "steps": 3, "final_train_loss": 0.5}
    return MemberRecord(**{"seed": seed, "data_digest": "d", "base_digest": "b", **values, **more})


@pytest.fixture
def folder(tmp_path):
    run = RunFolder(tmp_path)
    write_json(run.member_record(MemberId(42)), record(history=[{"epoch": 1, "validation_loss": 0.5}]).as_json())
    return run


def test_a_record_is_read_as_it_was_written(folder):
    found = read_member_record(folder, MemberId(42))
    assert found == record(history=[{"epoch": 1, "validation_loss": 0.5}])


def test_every_key_either_makes_a_member_or_does_not():
    assert set(SETTINGS) | NOT_OF_A_MEMBER == set(Config.model_fields)
    assert not set(SETTINGS) & NOT_OF_A_MEMBER


def test_settings_survive_json():
    settings = member_settings(Config(lora_layers=(0, 1)))
    assert json.loads(json.dumps(settings)) == settings


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"seed": 42}', '{"unknown": 1}', "\udcff"])
def test_what_is_no_record_is_told(folder, content):
    path = folder.member_record(MemberId(42))
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(
        IntegrityError, match=r"member\.json: not a member's record .*; delete .*seed_42 to train it anew"
    ):
        read_member_record(folder, MemberId(42))


def test_an_absent_record_is_told(tmp_path):
    with pytest.raises(IntegrityError, match="not a member's record"):
        read_member_record(RunFolder(tmp_path), MemberId(7))


def test_the_same_making_passes(folder):
    check_same_making(folder, trained([42]), Config(), digests=DIGESTS)
    check_same_making(folder, [], Config(lora_r=64), digests=Digests(data="x", base="y"))


@pytest.mark.parametrize("key", sorted(NOT_OF_A_MEMBER & {"seeds", "device", "tokens_per_pass", "output_dir"}))
def test_other_members_and_machines_are_no_difference(folder, key):
    value = {"seeds": (1,), "device": "cpu", "tokens_per_pass": 99, "output_dir": Path("x")}[key]
    check_same_making(folder, trained([42]), Config().model_copy(update={key: value}), digests=DIGESTS)


@pytest.mark.parametrize("key", SETTINGS)
def test_another_setting_is_refused_by_name(folder, key):
    value = OTHER[key] if key in OTHER else getattr(Config(), key) / 2 if key == "learning_rate" else None
    if value is None:
        value = getattr(Config(), key) + (0.25 if isinstance(getattr(Config(), key), float) else 1)
    config = Config().model_copy(update={key: value})
    with pytest.raises(
        ConfigError, match=rf"holds the member of seed 42, made differently:\n  {key}: .* there, .* now\nUse another"
    ):
        check_same_making(folder, trained([42]), config, digests=DIGESTS)


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
