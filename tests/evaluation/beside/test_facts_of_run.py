from dataclasses import asdict, replace

import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.evaluation.beside.facts_of_run import cautions_of_few, cautions_of_run, facts_of_run
from ensemble_uq_llm.evaluation.records import Protocol
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.samples.posterior_record import PosteriorRecord
from small_predictions import predicted

SAMPLES = PosteriorRecord(
    maker="tfb", settings={}, samples=3, generator_seed=0, parents={"seed_1": "a", "seed_2": "b"}, seconds=7.5
)
STAGES = [{"stage": "train", "seconds": 60}, {"stage": "predict", "seconds": 5.0}, {"stage": "train", "seconds": 2.5}]


@pytest.fixture
def facts(tmp_path, monkeypatch):
    def made(record, *, adapters="trained", members=6):
        folder = RunFolder(tmp_path / "run")
        monkeypatch.setattr(RunFolder, "record", lambda _: {"stages": STAGES, **record})
        predictions, protocol = predicted(members=members), Protocol(adapters=adapters)
        found = facts_of_run("own", folder, predictions, protocol)
        return found, list(cautions_of_run(folder, found))

    return made


def test_a_trained_run(facts):
    found, cautions = facts({})
    assert (found.maker, found.trained_members, found.samples, found.passes) == ("training", 6, None, 6)
    assert (found.training_seconds, found.making_seconds) == (62.5, None)
    assert cautions == []


def test_a_run_of_samples(facts):
    found, cautions = facts({"posterior": asdict(SAMPLES)})
    assert (found.maker, found.trained_members, found.samples, found.passes) == ("tfb", 2, 3, 6)
    assert (found.training_seconds, found.making_seconds) == (62.5, 7.5)
    assert [each[:40] for each in cautions] == [
        "mutual information over samples of 2 tra", "3 samples of a member show 67% of the sp",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("adapters", "maker", "members"), [("none", "none", 0), ("given", None, None), (None, None, None)]
)
def test_what_the_run_did_not_train_did_not_take_its_time(facts, adapters, maker, members):
    found, _ = facts({"posterior": asdict(SAMPLES)}, adapters=adapters)
    assert (found.maker, found.trained_members, found.samples) == (maker, members, None)
    assert (found.training_seconds, found.making_seconds) == (None, None)


def test_two_and_three_members_are_warned_of():
    assert [len(list(cautions_of_few(members))) for members in (1, 2, 3, 4)] == [0, 1, 1, 0]
    assert next(cautions_of_few(3)).startswith("mutual information over 3 members tells other data worse")


def test_a_record_in_another_form_is_refused(facts):
    with pytest.raises(IntegrityError, match=r"posterior\.samples is not what a maker writes"):
        facts({"posterior": asdict(replace(SAMPLES, samples="many"))})
