"""The base alone: what transformers says of the answers, in a folder of its own beside the run."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.errors import ConfigError, StorageError
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_run
from ensemble_uq_llm.inference.zero_shot import THE_BASE, load_zero_shot
from ensemble_uq_llm.models.base import load_tokenizer
from ensemble_uq_llm.pipeline import predict
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.predictions.zero_shot_config import zero_shot_config
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.verification.verify import verify
from small_runs import ANSWERING, settings
from tiny_models import padded

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def made(tiny_base, tiny_data, tmp_path_factory):
    config = settings(tiny_base, tiny_data, tmp_path_factory.mktemp("zero") / "run", **ANSWERING)
    asked = zero_shot_config(config)
    [path] = predict(asked, zero_shot=True, console=QUIET)
    return config, asked, path


def test_it_is_written_beside_the_run_as_one_member(made):
    config, asked, path = made
    assert asked.output_dir == config.output_dir.with_name("run_zero_shot")
    assert zero_shot_config(asked).output_dir == asked.output_dir
    assert path == asked.output_dir / "predictions" / "validation.parquet"
    assert not config.output_dir.exists()
    predictions = read_predictions(path)
    assert predictions.members == (THE_BASE,)
    assert predictions.origin.foreign
    assert load_config(asked.output_dir) == asked.model_copy(update={"output_dir": asked.output_dir})
    record = json.loads(RunFolder(asked.output_dir).run_record.read_text())
    assert record["answer_token_ids"] == load_tokenizer(_base(asked)).tokenizer.convert_tokens_to_ids(["n", "y"])


def _base(config):
    from pathlib import Path

    return Path(config.model_name)


def test_it_is_what_transformers_says(made):
    _, asked, path = made
    predictions = read_predictions(path)
    tokenizer = load_tokenizer(_base(asked))
    tokens = tokenizer.tokenizer.convert_tokens_to_ids(["n", "y"])
    sequences = Job(asked).validation.tokens(tokenizer).sequences
    lengths_B = torch.tensor([len(each) for each in sequences])
    batch = padded(sequences)
    batch["attention_mask"] = (torch.arange(int(lengths_B.max())) < lengths_B[:, None]).long()
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(_base(asked))(**batch).logits
    last = logits[torch.arange(len(sequences)), lengths_B - 1]
    np.testing.assert_allclose(predictions.logits_MNC[0], last[:, tokens], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predictions.answer_mass_MN[0], last.softmax(1)[:, tokens].sum(1), rtol=1e-5)
    assert "answer_mass" in pq.read_schema(path).names


def test_it_can_be_evaluated_and_verified(made):
    _, asked, _ = made
    evaluations = evaluate_run(asked.output_dir, seeds=(), draws=100, seed=0)
    assert list(evaluations) == ["validation"]
    assert not verify(RunFolder(asked.output_dir)).findings


def test_one_folder_holds_one_way_of_answering(made):
    _, asked, path = made
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"answers: their tokens are \[.*\] now, and .*run_zero_shot was asked for "):
        predict(asked.model_copy(update={"answers": ("e", "t")}), zero_shot=True)
    assert path.read_bytes() == before


def test_no_members_are_trained_in_it_nor_looked_for(made):
    _, asked, _ = made
    with pytest.raises(StorageError, match="run_zero_shot: holds a zero-shot baseline, beside which nothing is"):
        train(asked)
    with pytest.raises(ConfigError, match="run_zero_shot: holds a zero-shot baseline and no members; ask it with --z"):
        predict(asked)


def test_trained_members_are_not_written_over(own_run):
    config = load_config(own_run).model_copy(update={**ANSWERING, "answer_mass": True})
    with pytest.raises(ConfigError, match=r"own: holds trained members, and the base's own answers need this place"):
        predict(config, zero_shot=True)


def test_a_run_with_a_trained_head_has_this_baseline_too(tiny_base, tiny_data, tmp_path):
    config = settings(
        tiny_base, tiny_data, tmp_path / "run", prompt_template=ANSWERING["prompt_template"], class_names=("a", "b")
    )
    asked = zero_shot_config(config).model_copy(update={"answers": ("a", "b")})
    assert load_zero_shot(asked).ensemble.head.width == 3


def test_it_takes_no_adapters(made):
    config, asked, _ = made
    with pytest.raises(ConfigError, match="--zero-shot: asks the base without adapters, so give no --adapter with it"):
        predict(asked, zero_shot=True, adapters=[config.output_dir])
