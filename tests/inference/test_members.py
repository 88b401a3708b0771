import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prepare import load_validation
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.inference.members import _is_same_base, load_members
from ensemble_uq_llm.inference.predict import predict_examples, write_set
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.models.base import find_base
from ensemble_uq_llm.models.base_files import base_files
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS
from ensemble_uq_llm.models.lora.peft_settings import SETTINGS
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.run_folder import MEMBER_RECORD, RunFolder
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.utils.files import read_json, sha256_of, write_json
from recording import recorded
from small_runs import settings


def test_members_come_in_the_configs_order(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", seeds=(3, 1, 2))
    train(config)
    assert load_members(config).ensemble.members == trained((3, 1, 2))


def test_members_that_are_there_are_used_and_the_others_named(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    folder = train(config)
    write_json(folder.run_record, folder.record() | {"failed": {"seed_2": "diverged at step 5"}})
    recorded(folder)
    every = config.model_copy(update={"num_ensemble_models": None})
    with pytest.warns(UserWarning, match=r"without seed 2 \(diverged at step 5\) and seed 3 \(not trained\); the oth"):
        assert load_members(every).ensemble.members == trained((1,))
    shutil.rmtree(folder.member(MemberId(1)))
    with pytest.raises(IntegrityError, match=r"seed_1/member\.json: removed after it was written; restore the member"):
        load_members(config)
    recorded(folder)
    with pytest.raises(ConfigError, match=r"no finished member for seed 1 \(not trained\); train first"):
        load_members(config)


def test_an_altered_adapter_is_refused(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    weights = train(config).member(MemberId(1)) / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"adapter_model\.safetensors: altered after it was written"):
        load_members(config)


def test_another_base_is_refused_and_its_file_named(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    config = settings(base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    folder = train(config)
    assert folder.record()["base_files"] == base_files(base)
    digest = load_members(config).base_digest
    assert digest == folder.read_object(folder.member_record(MemberId(1)), remedy="")["base_digest"]
    for path in base.iterdir():
        path.touch()  # other times, the same bytes
    assert load_members(config).base_digest == digest
    name = base / "tokenizer.json"
    name.write_bytes(name.read_bytes() + b"\n")
    with pytest.raises(IntegrityError, match=rf"{name}: altered, as seed 1 was trained on another; put that back"):
        load_members(config)
    with pytest.raises(IntegrityError, match="as seed 1 was trained on another; put that back"):
        load_members(config.model_copy(update={"model_name": "embedded"}))
    load_members(config, adapters=[folder.member(MemberId(1))])  # given adapters answer on any base


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
    with pytest.raises(IntegrityError, match=r"member\.json: altered after it was written"):
        load_members(config)


def double(folder: RunFolder) -> None:
    """Add a second sample of every member: a maker of samples at its simplest, which moves B a little."""
    for member in folder.members():
        target = folder.member(MemberId(member.seed, 1))
        shutil.copytree(folder.member(member), target)
        tensors = load_file(target / WEIGHTS)
        moved = {name: each * 1.5 if ".lora_B." in name else each for name, each in tensors.items()}
        save_file(moved, target / WEIGHTS, metadata={"format": "pt"})
        record = read_json(target / MEMBER_RECORD) | {"weights_sha256": sha256_of(target / WEIGHTS)}
        write_json(target / MEMBER_RECORD, record)
    recorded(folder)


def test_samples_of_a_seed_are_predicted_side_by_side(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", seeds=(3, 1))
    folder = train(config)
    examples = load_validation(config)
    before_MNC = predict_examples(load_members(config), PreparedSet(examples, config)).logits_MNC
    double(folder)
    loaded = load_members(config)
    assert loaded.ensemble.members == (MemberId(3), MemberId(3, 1), MemberId(1), MemberId(1, 1))
    path = write_set(loaded, PreparedSet(examples, config), config, name="validation")
    table = pq.read_table(path)
    rows = set(zip(table["seed"].to_pylist(), table["sample"].to_pylist(), strict=True))
    assert rows == {(3, 0), (3, 1), (1, 0), (1, 1)}
    assert table.num_rows == 4 * len(examples)
    predictions = read_predictions(path)
    logits_by_member = dict(zip(predictions.members, predictions.logits_MNC, strict=True))
    samples = [folder.member(MemberId(seed, 1)) for seed in config.seeds]
    alone = predict_examples(load_members(config, adapters=samples), PreparedSet(examples, config))
    assert alone.members == (MemberId(3, 1), MemberId(1, 1))
    for index, seed in enumerate(config.seeds):
        np.testing.assert_allclose(logits_by_member[MemberId(seed)], before_MNC[index], atol=1e-5)
        np.testing.assert_allclose(logits_by_member[MemberId(seed, 1)], alone.logits_MNC[index], atol=1e-5)
        assert np.abs(logits_by_member[MemberId(seed, 1)] - before_MNC[index]).max() > 0.01


@pytest.mark.parametrize("named", ["someone/other", "/elsewhere/{base}", "other", "../{base}-2", "embedded"])
def test_an_adapter_that_names_another_base_warns(tiny_base: Path, tiny_data: Path, tmp_path: Path, named: str) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    run = train(config)
    folder = run.member(MemberId(1))
    name = named.format(base=tiny_base.name)
    write_json(folder / SETTINGS, read_json(folder / SETTINGS) | {"base_model_name_or_path": name})
    recorded(run)
    with pytest.warns(UserWarning, match=f"seed_1: made on the base '{name}', and model_name is '{tiny_base}'; on "):
        load_members(config, adapters=[folder])


@pytest.mark.parametrize("named", ["{path}", "{path}/", "someone/{base}", "{base}", None, ""])
def test_an_adapter_that_names_its_base_does_not(
    tiny_base: Path, tiny_data: Path, tmp_path: Path, named: str | None
) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    run = train(config)
    folder = run.member(MemberId(1))
    name = named and named.format(base=tiny_base.name, path=tiny_base)
    write_json(folder / SETTINGS, read_json(folder / SETTINGS) | {"base_model_name_or_path": name})
    recorded(run)
    load_members(config, adapters=[folder])


@pytest.mark.parametrize(
    ("named", "model_name", "same"),
    [
        ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B", True),
        ("mirror/llama-3.2-1b", "meta-llama/Llama-3.2-1B", True),
        ("/data/Llama-3.2-1B", "meta-llama/Llama-3.2-1B", True),
        ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-1B", False),
        ("embedded", "embedded", True),
        ("/venv/ensemble_uq_llm/assets/tiny_llama", "embedded", True),
        ("/elsewhere/tiny_llama", "embedded", False),
        ("meta-llama/Llama-3.2-1B", "embedded", False),
        ("/venv/ensemble_uq_llm/assets/tiny_llama", "meta-llama/Llama-3.2-1B", False),
    ],
)
def test_names_of_one_base(named: str, model_name: str, same: bool) -> None:
    folder = find_base("embedded", revision=None, cache_dir=None) if model_name == "embedded" else Path("/cache/abc")
    assert _is_same_base(named, model_name, folder) == same
