"""Whole runs with the answer head: recorded, resumed to the byte, verified, loaded by `peft`, and kept as they were."""

import json
from collections.abc import Callable

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from ensemble_uq_llm.data.answer_tokens import answer_token_ids
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.inference.predict import predict_examples, write_set
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base import load_tokenizer
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.run_folder import VALIDATION, RunFolder
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.events import Event, Stepped
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.training.planning.dry_run import dry_run
from ensemble_uq_llm.verification.verify import verify
from small_runs import ANSWERING, settings
from tiny_models import assert_close, padded

pytestmark = pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")

STEPS = 6
"""Of the smallest run."""


@pytest.fixture(scope="module")
def made(tiny_base, tiny_data, tmp_path_factory):
    config = settings(tiny_base, tiny_data, tmp_path_factory.mktemp("answering") / "run", lora_dropout=0.1, **ANSWERING)
    return config, train(config)


def adapters_of(folder: RunFolder) -> dict[str, bytes]:
    return {str(path.relative_to(folder.root)): path.read_bytes() for path in sorted(folder.root.glob("seed_*/*"))}


def stopping_at(step: int) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == step:
            stop.request("SIGTERM")

    return listen


def test_the_run_records_the_answers_tokens_in_the_order_of_the_classes(made, tiny_base):
    config, folder = made
    tokenizer = load_tokenizer(tiny_base)
    expected = tokenizer.tokenizer.convert_tokens_to_ids(["n", "y"])
    assert json.loads(folder.run_record.read_text())["answer_token_ids"] == expected
    assert answer_token_ids(config, tokenizer) == tuple(expected)
    record = json.loads(folder.member_record(MemberId(1)).read_text())
    assert (record["settings"]["head"], record["settings"]["answers"]) == ("answer", ["n", "y"])


def test_what_is_predicted_is_what_peft_says_of_the_members(made, tiny_base):
    config, folder = made
    job = Job(config)
    loaded = load_members(config)
    predictions = read_predictions(write_set(loaded, job.validation, config, name=VALIDATION, source=VALIDATION))
    tokens = list(answer_token_ids(config, load_tokenizer(tiny_base)))
    sequences = job.validation.tokens(loaded.tokenizer).sequences
    batch = padded(sequences)
    lengths_B = torch.tensor([len(each) for each in sequences])
    batch["attention_mask"] = (torch.arange(int(lengths_B.max())) < lengths_B[:, None]).long()
    for logits_NC, seed in zip(predictions.logits_MNC, config.seeds, strict=True):
        model = AutoModelForCausalLM.from_pretrained(tiny_base, attn_implementation="eager")
        model = peft.PeftModel.from_pretrained(model, str(folder.member(MemberId(seed)))).eval()
        with torch.no_grad():
            expected = model(**batch).logits[torch.arange(len(sequences)), lengths_B - 1][:, tokens]
        assert_close(torch.from_numpy(np.asarray(logits_NC)), expected)
    assert predictions.origin.settings["answers"] == ["n", "y"]
    assert not verify(folder).findings


@pytest.mark.parametrize("step", [1, 4])
def test_a_training_that_was_stopped_ends_in_the_same_bytes(made, tiny_base, tiny_data, tmp_path, step):
    config = settings(tiny_base, tiny_data, tmp_path / "run", lora_dropout=0.1, **ANSWERING)
    with pytest.raises(stop.StopRequested):
        train(config, listeners=[stopping_at(step)])
    assert adapters_of(train(config)) == adapters_of(made[1])


def test_members_added_later_are_those_of_one_training(made, tiny_base, tiny_data, tmp_path):
    config = settings(tiny_base, tiny_data, tmp_path / "run", lora_dropout=0.1, **ANSWERING)
    for count in (1, 3):
        folder = train(config.model_copy(update={"num_ensemble_models": count}))
    expected, found = adapters_of(made[1]), adapters_of(folder)
    assert expected.keys() == found.keys()
    assert found["seed_1/adapter_config.json"] == expected["seed_1/adapter_config.json"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"answers": ("a", "b")}, r"answers: \['n', 'y'\] there, \['a', 'b'\] now"),
        ({"head": "classification", "answers": None, "lora_target_modules": ("q_proj",)}, "head: 'answer' there, 'cl"),
    ],
)
def test_members_of_other_answers_or_another_head_are_not_mixed(made, changes, named):
    config, _ = made
    with pytest.raises(ConfigError, match=named):
        train(config.model_copy(update=changes))


def test_members_do_not_answer_by_other_tokens_than_they_were_trained_with(made):
    config, _ = made
    with pytest.raises(
        ConfigError, match=r"answers: their tokens are \[66, 67\] now, and .* were trained with \[79, 90\]"
    ):
        load_members(config.model_copy(update={"answers": ("a", "b")}))


def test_a_dry_run_counts_what_is_trained(made, tmp_path):
    config, folder = made
    plan = dry_run(config.model_copy(update={"output_dir": tmp_path / "other"}))
    ensemble = load_members(config).ensemble
    assert plan.trainable_parameters_per_member == sum(each[0].numel() for each in ensemble.trainable())
    assert folder.members()


def test_the_answer_mass_comes_with_predictions_where_it_is_asked_for(made):
    config, _ = made
    with_mass = config.model_copy(update={"answer_mass": True})
    plain, told = (predict_examples(load_members(each), Job(each).validation) for each in (config, with_mass))
    assert plain.answer_mass_MN is None
    assert told.answer_mass_MN.shape == (3, 24)
    assert 0 < told.answer_mass_MN.min() < told.answer_mass_MN.max() < 1
    np.testing.assert_array_equal(told.logits_MNC, plain.logits_MNC)
