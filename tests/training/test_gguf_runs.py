"""Runs on a GGUF base: what they train and predict is what the same model gives from a folder, and they are guarded."""

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
import transformers
from rich.console import Console
from transformers import AutoModelForSequenceClassification

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.models.base_files import base_files
from ensemble_uq_llm.pipeline import run_all
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.training.planning.dry_run import dry_run
from ensemble_uq_llm.verification.verify import verify
from small_runs import settings
from tiny_gguf import save_dequantised, save_gguf
from tiny_models import assert_close, classified

pytest.importorskip("gguf")
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", kind="Q8_0", intermediate_size=64)


def run(base: Path, data: Path, output: Path, **changes) -> RunFolder:
    config = settings(base, data, output, num_epochs=1, seeds=(1, 2), **changes)
    assert run_all(config, console=Console(quiet=True)) is None
    return RunFolder(output)


@pytest.fixture(scope="module")
def finished(base, tiny_data, tmp_path_factory) -> RunFolder:
    return run(base, tiny_data, tmp_path_factory.mktemp("gguf-run") / "run")


def own(finished: RunFolder, base: Path, tmp_path: Path) -> tuple[Config, Path]:
    """Return a copy of the run on a copy of its base."""
    copy = tmp_path / "base" / base.name
    copy.parent.mkdir()
    shutil.copy(base, copy)
    shutil.copytree(finished.root, tmp_path / "run")
    return load_config(tmp_path / "run", [f"model_name={copy}"]), copy


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("chat", [False, True])
def test_adapters_and_predictions_are_those_on_the_dequantised_folder(base, tiny_data, tmp_path, bf16, chat):
    folder = save_dequantised(base, tmp_path / "folder")

    ours, theirs = (
        run(each, tiny_data, tmp_path / f"run_{each.stem}", use_bf16=bf16, chat_template=chat)
        for each in (base, folder)
    )

    for seed in (1, 2):
        name = f"seed_{seed}/{WEIGHTS}"
        assert (ours.root / name).read_bytes() == (theirs.root / name).read_bytes()
    logits = [read_predictions(each.predictions("validation")).logits_MNC for each in (ours, theirs)]
    assert (logits[0] == logits[1]).all()
    assert logits[0].std() > 0


def test_the_chat_template_is_part_of_what_a_member_is(base, tiny_data, finished):
    with pytest.raises(ConfigError, match="chat_template: False there, True now"):
        train(settings(base, tiny_data, finished.root, num_epochs=1, seeds=(1, 2), chat_template=True))


def test_the_run_records_the_file_and_notices_another(finished, base, tmp_path):
    assert finished.record()["base_files"] == base_files(base)
    config, copy = own(finished, base, tmp_path)
    with pytest.warns(UserWarning, match=r"made on the base '.*tiny.gguf', and model_name is"):  # the place is another
        load_members(config)

    body = bytearray(copy.read_bytes())
    body[-40] ^= 1
    copy.write_bytes(body)

    with pytest.raises(IntegrityError, match=rf"^{copy}: altered, as .* was trained on another"):
        load_members(config)


def test_verify_reads_the_base(finished, base):
    audit = verify(finished)

    assert audit.is_sound
    assert audit.checked["base"] == 1


def test_a_dry_run_counts_the_dequantised_model(base, tiny_data, tmp_path):
    plan = dry_run(settings(base, tiny_data, tmp_path / "run", use_bf16=True))

    assert plan.base_bytes == 2 * plan.base_parameters
    assert plan.base_bytes > base.stat().st_size * 0.9
    assert plan.estimated_seconds is not None


def test_peft_loads_a_member_on_the_file_that_its_folder_names(finished, base):
    """The three lines of docs/models.md."""
    folder = finished.root / "seed_1"
    file = Path(json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"])
    model = AutoModelForSequenceClassification.from_pretrained(
        file.parent, gguf_file=file.name, num_labels=2, dtype=torch.float32,
        quantization_config=transformers.GgufConfig(dequantize=True),
    )  # fmt: skip
    model = peft.PeftModel.from_pretrained(model, folder).eval()
    config = load_config(finished.root)
    loaded = load_members(config)

    text = "Question: is it so Context: it is"
    tokens = loaded.tokenizer.tokenizer([text], return_tensors="np")["input_ids"]
    from ensemble_uq_llm.models.logits import member_logits

    ours = member_logits(loaded.ensemble, [tokens[0].astype("int32")], budget=512)[0]
    assert file == base.resolve()
    assert_close(torch.as_tensor(ours), classified(model, list(tokens)))
