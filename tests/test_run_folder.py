from pathlib import Path

import pytest

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder

FOLDER = RunFolder(Path("out"))


def test_the_paths_of_the_contract():
    assert FOLDER.config == Path("out/config.yaml")
    assert FOLDER.run_record == Path("out/run.json")
    assert FOLDER.events == Path("out/events.jsonl")
    assert FOLDER.report == Path("out/report.html")
    assert FOLDER.member(MemberId(42)) == Path("out/seed_42")
    assert FOLDER.member_record(MemberId(42)) == Path("out/seed_42/member.json")
    assert FOLDER.predictions("validation") == Path("out/predictions/validation.parquet")
    assert FOLDER.examples("validation") == Path("out/predictions/validation.examples.jsonl")
    assert FOLDER.scores("validation") == Path("out/scores/validation.csv")
    assert FOLDER.uncertainty("validation") == Path("out/uncertainty/validation.csv")
    assert FOLDER.metrics("validation") == Path("out/metrics/validation.json")


@pytest.mark.parametrize("kind", ["predictions", "examples", "uncertainty", "scores", "metrics"])
@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a b", ".hidden", "-x", "ü", "a" * 65, "a\n"])
def test_names_that_could_leave_the_folder_are_refused(kind, name):
    with pytest.raises(ValueError, match="cannot name a set"):
        getattr(FOLDER, kind)(name)


@pytest.mark.parametrize("name", ["validation", "a", "A-1_2.b", "0", "a" * 64])
def test_plain_names_stay_inside(name):
    assert FOLDER.metrics(name).parent == Path("out/metrics")


def test_asking_creates_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.prediction_names() == []
    assert folder.members() == []
    folder.predictions("x")
    assert list(tmp_path.iterdir()) == []


def test_predicted_sets_begin_with_the_runs_own(tmp_path):
    folder = RunFolder(tmp_path)
    for name in ("zebra", "apple", "validation"):
        folder.predictions(name).parent.mkdir(exist_ok=True)
        folder.predictions(name).touch()
        folder.examples(name).touch()
    (tmp_path / "predictions" / ".late.parquet.1234abcd.tmp").touch()
    assert folder.prediction_names() == ["validation", "apple", "zebra"]


def test_a_member_counts_when_its_record_is_there(tmp_path):
    folder = RunFolder(tmp_path)
    for seed in (100, 9):
        folder.member(MemberId(seed)).mkdir()
        folder.member_record(MemberId(seed)).touch()
    folder.member(MemberId(7)).mkdir()
    for name in ("seed_", "seed_x", ".seed_5.1234abcd.tmp", "seed_1.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "member.json").touch()
    assert folder.members() == [MemberId(seed) for seed in [9, 100]]
