import pytest

from ensemble_uq_llm.data.choices.layouts import LAYOUTS, find_layout

ROWS = [
    {
        "question": {"stem": "q", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]},
        "answerKey": "B",
    },
    {"question_stem": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"},
    {"question": "q", "choices": [{"text": "x", "label": "1"}, {"text": "y", "label": "2"}], "answerKey": "2"},
    {"sentence": "q", "option1": "x", "option2": "y", "answer": "2"},
    {"question": "q", "subject": "s", "choices": ["x", "y"], "answer": 1},
]


@pytest.mark.parametrize(("row", "layout"), list(zip(ROWS, LAYOUTS, strict=True)))
def test_every_layout_knows_its_rows_and_no_others(row, layout):
    assert [each for each in LAYOUTS if each.fits(row)] == [layout]
    assert find_layout(row) is layout
    assert list(layout.options(row)) == ["x", "y"]
    assert layout.flat(row)["question"] == "q"
    assert layout.answer_column in row


def test_other_rows_are_of_no_layout():
    for row in ({"question": "q", "passage": "p", "answer": True}, {"question": "q", "choices": []}, {"choices": "a"}):
        assert find_layout(row) is None
