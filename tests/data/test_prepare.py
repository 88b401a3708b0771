import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prepare import (
    class_weights,
    digest_of,
    load_file,
    load_named,
    load_training,
    load_validation,
    tokenize,
)
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.models.tokenizer import BaseTokenizer
from hub_content import tiny_tokenizer_json

EXAMPLES = [Example(id=str(i), fields={"question": f"q{i}", "passage": "word " * 30}, label=i % 2) for i in range(3)]


@pytest.fixture(scope="module")
def tokenizer():
    tiny = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tiny_tokenizer_json()), bos_token="<s>")
    return BaseTokenizer(tokenizer=tiny, embeddings=len(tiny), pad_token=None)


@pytest.fixture
def unlabelled(tmp_path):
    path = tmp_path / "unlabelled.jsonl"
    rows = [{"id": i, "question": "q", "passage": "p"} for i in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_training_examples(tiny_data):
    split = load_training(Config(train_file=tiny_data))
    assert len(split.kept) == 24
    assert split.held_out == []
    assert split.kept[0].fields == {"question": "is 0 even", "passage": "The number 0 is even."}
    assert [example.label for example in split.kept[:2]] == [1, 0]


def test_balanced_class_weights_are_those_of_scikit_learn():
    labels = np.array([0, 2, 2, 1, 2, 0, 2])
    examples = [Example(id=str(n), fields={}, label=label) for n, label in enumerate(labels.tolist())]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights(Config(num_labels=3, class_weights="balanced"), examples) == pytest.approx(tuple(expected))
    assert class_weights(Config(num_labels=3, class_weights=(1, 2, 3)), examples) == (1, 2, 3)
    assert class_weights(Config(num_labels=3), examples) is None
    with pytest.raises(DataError, match=r"class_weights: balanced needs .* there is none of '3'; add some, or give"):
        class_weights(Config(num_labels=4, class_weights="balanced"), examples)


def test_the_calibration_split_is_apart_and_follows_its_seed(tiny_data):
    config = Config(train_file=tiny_data, calibration_fraction=0.25, calibration_seed=1)
    split = load_training(config)
    assert len(split.held_out) == 6
    kept, held_out = ({example.id for example in part} for part in (split.kept, split.held_out))
    assert not kept & held_out
    assert load_training(config) == split
    assert load_training(config.model_copy(update={"calibration_seed": 2})) != split


def test_the_first_so_many(tiny_data):
    config = Config(train_file=tiny_data, validation_file=tiny_data, max_train_examples=5, max_validation_examples=2)
    assert [example.id for example in load_training(config).kept] == [f"row {i}" for i in range(5)]
    assert [example.id for example in load_validation(config)] == ["row 0", "row 1"]


def test_training_needs_labels_and_evaluation_does_not(unlabelled):
    config = Config(train_file=unlabelled, validation_file=unlabelled)
    assert [example.label for example in load_validation(config)] == [None] * 3
    assert [example.label for example in load_file(config, unlabelled)] == [None] * 3
    with pytest.raises(DataError, match="answer or label"):
        load_training(config)


def test_named_sets_of_the_embedded_world():
    assert load_named(Config(dataset="synthetic"), "validation")
    with pytest.raises(DataError, match="has no split 'validatoin'; did you mean 'validation'"):
        load_named(Config(dataset="synthetic"), "validatoin")


def test_a_set_by_name_beside_files_of_other_classes_is_no_data_set(tiny_data):
    config = Config(train_file=tiny_data, validation_file=tiny_data, class_names=("a", "no", "yes"))
    with pytest.raises(DataError, match=r"'news': no set of that name: the data are those of train_file and"):
        load_named(config, "news")


def test_columns_and_classes_of_the_configuration(tmp_path):
    path = tmp_path / "topics.csv"
    path.write_text("key,text,topic\nk1,goals,sport\nk2,votes,politics\nk3,rain,weather\n", encoding="utf-8")
    config = Config(
        train_file=path,
        prompt_template="Topic of {text}",
        label_column="topic",
        id_column="key",
        num_labels=3,
        class_names=("politics", "sport", "weather"),
    )
    assert [(e.id, e.label) for e in load_training(config).kept] == [("k1", 1), ("k2", 0), ("k3", 2)]


def test_tokens_follow_the_configuration(tokenizer):
    whole = tokenize(Config(), EXAMPLES, tokenizer)
    assert whole.num_cut == 0
    assert whole.labels_N.tolist() == [0, 1, 0]
    assert tokenizer.tokenizer.decode(whole.sequences[0], skip_special_tokens=True).startswith(
        "Question: q0 Context: word word"
    )
    cut = tokenize(Config(max_length=30), EXAMPLES, tokenizer)
    assert cut.num_cut == 3
    assert max(cut.lengths_N) <= 30
    other = Config(max_length=20, cut_column="question", prompt_template="{question}")
    long = replace(EXAMPLES[0], fields={"question": "a b " * 30})
    assert tokenize(other, [long], tokenizer).lengths_N.tolist() == [20]


def test_what_the_base_says_of_tokens_is_heeded(tokenizer):
    first, *_, last = tokenize(Config(), EXAMPLES[:1], tokenizer).tokens_T.tolist()
    padding = replace(tokenizer, pad_token=last)
    assert last not in tokenize(Config(), EXAMPLES[:1], padding).tokens_T[-1:].tolist()
    with pytest.raises(DataError, match=f"and the base's ids end at {first}"):
        tokenize(Config(), EXAMPLES[:1], replace(tokenizer, embeddings=first + 1))


def test_the_answer_head_reads_the_last_token_even_if_it_is_the_bases_padding(tokenizer):
    config = Config(head="answer")
    whole = tokenize(config, EXAMPLES[:1], tokenizer).tokens_T.tolist()
    assert tokenize(config, EXAMPLES[:1], replace(tokenizer, pad_token=whole[-1])).tokens_T.tolist() == whole


def test_the_digest_knows_ids_texts_labels_and_order():
    digest = digest_of(EXAMPLES)
    assert digest == digest_of([replace(example) for example in EXAMPLES])
    changed = [
        EXAMPLES[::-1],
        EXAMPLES[:2],
        [replace(EXAMPLES[0], label=None), *EXAMPLES[1:]],
        [replace(EXAMPLES[0], id="x"), *EXAMPLES[1:]],
        [replace(EXAMPLES[0], fields={"question": "q", "passage": ""}), *EXAMPLES[1:]],
    ]
    assert len({digest, *map(digest_of, changed)}) == 6


def test_the_digest_does_not_know_the_order_of_the_columns():
    first = Example(id="1", fields={"a": "1", "b": "2"})
    second = Example(id="1", fields={"b": "2", "a": "1"})
    assert digest_of([first]) == digest_of([second])


def test_a_file_to_predict_may_lack_the_label_column_but_the_evaluation_split_may_not(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text('{"text": "good"}\n', encoding="utf-8")
    config = Config(
        prompt_template="{text}",
        label_column="mood",
        class_names=("bad", "good"),
        train_file=path,
        validation_file=path,
    )
    assert [example.label for example in load_file(config, path)] == [None]
    with pytest.raises(DataError, match=r"new\.jsonl:1: no row has the field 'mood'"):
        load_validation(config)
