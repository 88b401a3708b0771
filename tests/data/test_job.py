from collections import Counter

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data import prepare, tokenize
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.data.prepare import digest_of, load_training
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.models.base import load_tokenizer

CONFIG = Config(dataset="synthetic", max_train_examples=200, max_validation_examples=50, calibration_fraction=0.2)


@pytest.fixture
def loads(monkeypatch):
    """The splits that are loaded, and how often."""
    counts = Counter()
    load = prepare.load_split
    monkeypatch.setattr(prepare, "load_split", lambda request, columns: (
        counts.update([request.split]) or load(request, columns)
    ))  # fmt: skip
    return counts


def test_nothing_is_loaded_before_it_is_asked_for(loads):
    job = Job(CONFIG)
    assert loads == {}
    assert len(job.validation.examples) == 50
    assert loads == {"validation": 1}


def test_every_split_is_loaded_once(loads):
    job = Job(CONFIG)
    for _ in range(2):
        sets = [job.train, job.validation, job.calibration, job.named("validation"), job.named("calibration")]
    assert [len(each.examples) for each in sets] == [160, 50, 40, 50, 40]
    assert loads == {"train": 1, "validation": 1}


def test_train_and_calibration_are_the_parts_of_the_split():
    job = Job(CONFIG)
    assert (job.train.examples, job.calibration.examples) == (job.split.kept, job.split.held_out)
    assert job.split == load_training(CONFIG)
    assert not {each.id for each in job.calibration.examples} & {each.id for each in job.train.examples}


def test_no_calibration_split_is_an_error_that_says_how_to_get_one():
    with pytest.raises(DataError, match="nothing is held out; set calibration_fraction"):
        Job(Config(dataset="synthetic")).named("calibration")


def write_csv(path, rows):
    path.write_text("text,label\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_what_is_evaluated_is_left_out_of_calibration(tmp_path):
    """Ids are row numbers, so the same number names two examples, and one text stands on rows of two numbers."""
    rows = [f"question {index},{'yes' if index % 2 else 'no'}" for index in range(40)]
    train, test = write_csv(tmp_path / "train.csv", rows), tmp_path / "test.csv"
    config = Config(train_file=train, validation_file=test, prompt_template="{text}", calibration_fraction=0.25)
    held_out = [example.fields["text"] for example in load_training(config).held_out]
    write_csv(test, ["new,yes", *(row for row in reversed(rows) if row.split(",")[0] in held_out[:3])])
    job = Job(config)
    with pytest.warns(UserWarning, match="3 of 10 examples held out repeat the text of an evaluation example and are"):
        calibration = job.calibration
    assert [example.fields["text"] for example in calibration.examples] == held_out[3:]
    assert (job.repeats.test_in_training, job.repeats.calibration_in_test) == (0, 3)
    write_csv(test, rows)
    with pytest.raises(DataError, match=r"each of the 10 examples held out repeats the text .* none is left to calibr"):
        _ = Job(config).calibration


def test_seen_texts_are_counted_and_kept(tmp_path):
    train = write_csv(tmp_path / "train.csv", ["same,yes", "other,no"] * 20)
    test = write_csv(tmp_path / "test.csv", ["new,no"] + ["same,yes"] * 9)
    job = Job(Config(train_file=train, validation_file=test, prompt_template="{text}", calibration_fraction=0.25))
    with pytest.warns(UserWarning, match="repeat") as caught:
        repeats = job.repeats
    assert (repeats.test_in_training, repeats.calibration_in_training, repeats.calibration_in_test) == (9, 5, 5)
    assert [str(warning.message).partition(":")[0] for warning in caught] == [
        "calibration",
        "9 of 10 evaluation examples repeat the text of a training example",
        "5 of 5 calibration examples repeat the text of a training example",
    ]
    assert job.repeats is repeats


def test_other_splits_and_files(tiny_data):
    job = Job(CONFIG)
    assert job.named("unknown_words").examples[0].true_probs is not None
    assert [each.id for each in job.file(tiny_data).examples[:2]] == ["row 0", "row 1"]
    with pytest.raises(DataError, match="has no split 'validatoin'; did you mean 'validation'"):
        job.named("validatoin")


def test_tokens_and_digest_of_a_set(tiny_base, monkeypatch):
    tokenizer = load_tokenizer(tiny_base)
    calls = []
    whole = tokenize.tokenize_examples
    monkeypatch.setattr(tokenize, "tokenize_examples", lambda *args, **more: calls.append(1) or whole(*args, **more))
    validation = Job(CONFIG).validation
    tokens = validation.tokens(tokenizer)
    assert tokens is validation.tokens(tokenizer)
    assert calls == [1]
    assert tokens.ids == tuple(each.id for each in validation.examples)
    assert validation.digest == digest_of(validation.examples)
