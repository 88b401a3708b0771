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


def test_what_chooses_epochs_neither_trains_nor_calibrates():
    plain, chosen = Job(CONFIG), Job(CONFIG.model_copy(update={"keep": "best", "stopping_fraction": 0.25}))
    ids = {name: {each.id for each in getattr(chosen, name).examples} for name in ("train", "calibration", "stopping")}

    assert {name: len(each) for name, each in ids.items()} == {"train": 160, "calibration": 30, "stopping": 10}
    assert len(set.union(*ids.values())) == 200
    assert ids["calibration"] | ids["stopping"] == {each.id for each in plain.calibration.examples}
    assert (plain.stopping, chosen.train.digest) == (None, plain.train.digest)
    assert chosen.named("calibration") is chosen.calibration


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
