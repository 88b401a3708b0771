import json
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prepare import load_validation, tokenize
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.inference.predict import answer_mass, predict_examples, write_set
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.training.loop import train
from small_runs import settings


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_saved_members_give_their_predictions_in_peft_on_a_padded_batch(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", lora_target_modules=("q_proj", "o_proj", "up_proj"))
    folder = train(config)
    loaded = load_members(config)
    examples = load_validation(config)
    predictions = read_predictions(write_set(loaded, PreparedSet(examples, config), config, name="validation"))
    tokens = [torch.from_numpy(each).long() for each in tokenize(config, examples, loaded.tokenizer).sequences]
    padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in tokens], batch_first=True)
    for member, seed in enumerate(config.seeds):
        base = AutoModelForSequenceClassification.from_pretrained(tiny_base, num_labels=2, dtype=torch.float32)
        # the id of padding must be one that no text holds, or transformers takes text for padding
        base.config.pad_token_id = base.config.vocab_size - 1
        padded_here = padded.masked_fill(mask == 0, base.config.pad_token_id)
        model = peft.PeftModel.from_pretrained(base, folder.member(MemberId(seed))).eval()
        with torch.no_grad():
            alone = torch.cat([model(input_ids=each[None]).logits for each in tokens])
            together = model(input_ids=padded_here, attention_mask=mask).logits
        np.testing.assert_allclose(predictions.logits_MNC[member], alone.numpy(), atol=1e-4)
        np.testing.assert_allclose(predictions.logits_MNC[member], together.numpy(), atol=1e-4)
    assert np.ptp(predictions.logits_MNC) > 0.05, "the comparison must be of something"


def test_unlabelled_empty_and_too_long_texts_are_answered(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=2, max_length=40)
    train(config)
    examples = [
        Example(id="empty", fields={"question": "", "passage": ""}),
        Example(id="long", fields={"question": "is it long", "passage": "very " * 500}),
        Example(id="plain", fields={"question": "is it", "passage": "it is"}, label=1),
    ]
    predictions = predict_examples(load_members(config), PreparedSet(examples, config))
    assert predictions.labels == (None, None, 1)
    assert predictions.ids == ("empty", "long", "plain")
    assert np.isfinite(predictions.logits_MNC).all()


def test_the_truth_travels_with_the_predictions(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    folder = train(config)
    examples = [
        Example(id=str(i), fields={"question": "q", "passage": "p"}, label=0, true_probs=(1 - i / 4, i / 4))
        for i in range(5)
    ]
    path = write_set(load_members(config), PreparedSet(examples, config), config, name="known")
    truth = read_predictions(path).true_probs_NC
    assert truth is not None
    np.testing.assert_array_equal(truth[:, 1], [0, 0.25, 0.5, 0.75, 1])
    texts = [json.loads(line) for line in folder.examples("known").read_text().splitlines()]
    assert texts[0] == {"id": "0", "text": "Question: q Context: p"}


def test_predictions_do_not_depend_on_the_order_of_rows_or_the_budget(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run")
    train(config)
    examples = load_validation(config)
    forward = predict_examples(load_members(config), PreparedSet(examples, config)).logits_MNC
    narrow = config.model_copy(update={"tokens_per_pass": 7})
    backward = predict_examples(load_members(narrow), PreparedSet(examples[::-1], narrow)).logits_MNC[:, ::-1]
    np.testing.assert_allclose(backward, forward, atol=1e-5)


def test_an_option_that_an_example_lacks_is_none_of_its_answers() -> None:
    logits_MNC = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    found_MN = answer_mass(logits_MNC, np.array([4, 3, 2]))
    for member, row, options in [(m, n, 4 - n) for m in range(2) for n in range(3)]:
        probs = torch.from_numpy(logits_MNC[member, row]).double().softmax(0)
        assert found_MN[member, row] == pytest.approx(float(probs[:options].sum()), rel=1e-6)
    np.testing.assert_allclose(answer_mass(logits_MNC, None)[:, 0], found_MN[:, 0])


def test_somebodys_file_among_what_is_kept_does_not_undo_a_prediction(tiny_base, tiny_data, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", seeds=(42,))
    folder = train(config)
    theirs = folder.kept_shards("validation") / "rows_00000000" / "theirs.txt"

    def tell(*_: object) -> None:
        theirs.parent.mkdir(parents=True, exist_ok=True)
        theirs.touch()

    loaded, prepared = load_members(config), PreparedSet(load_validation(config), config)
    with pytest.warns(UserWarning, match=r"theirs\.txt: not of this program, so it is left alone.*; the predictions"):
        path = write_set(loaded, prepared, config, name="validation", tell=tell)
    assert read_predictions(path).members == (MemberId(42),)
    assert theirs.exists()
