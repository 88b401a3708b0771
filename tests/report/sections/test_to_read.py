import json
from dataclasses import replace

import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.records import ExamplesToRead
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.report.sections.to_read import LONGEST_TEXT, Card, VotePill, to_read
from ensemble_uq_llm.report.source import read_source
from small_metrics import main_metrics, write_run


@pytest.fixture
def folder(tmp_path):
    folder = write_run(tmp_path, main_metrics(members=3))
    folder.examples("validation").parent.mkdir()
    return folder


def cards_of(folder):
    return [cards for _, cards in to_read(read_source(folder))]


def test_cards_have_text_answer_label_and_every_vote(folder):
    folder.examples("validation").write_text(json.dumps({"id": "q1", "text": "does it rain"}))
    folder.config.write_text("class_names: [never, always]\n")
    uncertain, wrong = cards_of(folder)

    assert len(uncertain) == len(wrong) == 20
    assert uncertain[1] == Card(
        id="q1", text="does it rain", answer="always 53.4%", label="always", wrong=False,
        entropy="0.678", information="0.012",
        votes=[
            VotePill(member="42", answer="always", probability="61%", dissents=False),
            VotePill(member="43", answer="never", probability="61%", dissents=True),
            VotePill(member="44", answer="always", probability="61%", dissents=False),
        ],
    )  # fmt: skip
    assert (wrong[1].label, wrong[1].wrong, wrong[2].text) == ("never", True, None)


def test_samples_of_one_seed_vote_under_their_own_names(tmp_path):
    folder = write_run(tmp_path, main_metrics(members=(MemberId(42), MemberId(42, 3))))

    assert [vote.member for vote in cards_of(folder)[0][0].votes] == ["42", "seed 42, sample 3"]


def test_endless_texts_are_cut(folder):
    folder.examples("validation").write_text(json.dumps({"id": "q0", "text": "x" * (LONGEST_TEXT + 9)}))

    assert cards_of(folder)[0][0].text == "x" * LONGEST_TEXT + " …"


def test_a_torn_file_of_texts_is_named(folder):
    folder.examples("validation").write_text("{")

    with pytest.raises(DataError, match=r"validation\.examples\.jsonl:1: this is no JSON object"):
        to_read(read_source(folder))


def test_lists_without_examples_are_left_out(tmp_path):
    metrics = main_metrics(labelled=0)
    titles = [title for title, _ in to_read(read_source(write_run(tmp_path, metrics)))]
    assert titles == ["The members disagree most"]
    [(alone, _), *_] = to_read(read_source(write_run(tmp_path, main_metrics(members=1))))
    assert alone == "Most uncertain"
    metrics = replace(metrics, examples=ExamplesToRead(most_uncertain=(), most_confidently_wrong=()))
    assert to_read(read_source(write_run(tmp_path, metrics))) is None
