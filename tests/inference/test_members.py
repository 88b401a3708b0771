from pathlib import Path

import pytest

from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.training.loop import train
from small_runs import settings


def test_members_come_in_the_configs_order(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", seeds=(3, 1, 2))
    train(config)
    assert load_members(config).ensemble.members == trained((3, 1, 2))


def test_a_member_that_is_not_trained_yet_is_named(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    train(config)
    with pytest.raises(ConfigError, match="no finished member for seed 2, 3; train first"):
        load_members(config.model_copy(update={"num_ensemble_models": None}))


def test_an_altered_adapter_is_refused(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    weights = train(config).member(MemberId(1)) / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(IntegrityError, match="not the file that training wrote"):
        load_members(config)


def test_another_number_of_classes_is_refused(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    train(config)
    with pytest.raises(IntegrityError, match="its head has 2 classes, and num_labels is 3"):
        load_members(config.model_copy(update={"num_labels": 3}))


def test_foreign_folders_are_named_by_their_seed_or_numbered(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=2)
    folder = train(config)
    own = [folder.member(MemberId(2)), folder.member(MemberId(1))]
    assert load_members(config, adapters=own).ensemble.members == trained((2, 1))
    renamed = folder.member(MemberId(1)).rename(tmp_path / "mine")
    assert load_members(config, adapters=[folder.member(MemberId(2)), renamed]).ensemble.members == trained((0, 1))


def test_a_torn_record_is_refused(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    train(config).member_record(MemberId(1)).write_text('{"seed": 1', encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"member\.json: not a member's record"):
        load_members(config)
