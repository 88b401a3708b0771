import json
from collections import Counter
from pathlib import Path

import pytest

from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_examples, read_labels
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.option_letters import LETTERS

PROMPT = ("question", "options")
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
ARC = {"question": {"stem": "q", "choices": [{"text": "x", "label": "1"}, {"text": "y", "label": "2"}]}}


def read(tmp_path, rows, *, name="mine.jsonl", classes=5, **columns):
    path = tmp_path / name
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return read_examples(path, Columns(prompt=PROMPT, class_names=LETTERS[:classes], **columns))


def by_pandas(path):
    """Read an official file by other means: question, texts, index of the answer."""
    pandas = pytest.importorskip("pandas")
    for row in pandas.read_json(path, lines=True, dtype=False).to_dict("records"):
        if "option1" in row:
            yield row["sentence"], [row["option1"], row["option2"]], int(row["answer"]) - 1
        else:
            choices = pandas.DataFrame(row["question"]["choices"])
            [answer] = choices.index[choices["label"] == row["answerKey"]]
            yield row["question"]["stem"], choices["text"].tolist(), answer


@pytest.mark.parametrize("name", ["openbookqa/dev", "arc_easy/test", "arc_challenge/test", "commonsenseqa/dev",
                                  "winogrande/dev"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*two equal options")
def test_official_files_are_read_as_pandas_reads_them(name):
    path = SHARED / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("the official files are not here")
    examples, theirs = read_examples(path, Columns(prompt=PROMPT, class_names=LETTERS[:5])), list(by_pandas(path))
    assert len(examples) == len(theirs)
    for example, (question, texts, answer) in zip(examples, theirs, strict=True):
        assert (example.fields["question"], example.label, example.options) == (question, answer, len(texts))
        assert example.fields["options"] == "\n".join(f"{LETTERS[i]}. {text}" for i, text in enumerate(texts))


def test_rows_of_fewer_options_keep_their_number(tmp_path):
    rows = [{"question": "q", "choices": list("wxyz")[:n], "answer": n - 1} for n in (3, 4, 2)]
    examples = read(tmp_path, rows)
    assert [(example.options, example.label) for example in examples] == [(3, 2), (4, 3), (2, 1)]
    assert Counter(read_labels(tmp_path / "mine.jsonl", Columns(prompt=PROMPT, class_names=LETTERS))) == Counter("ABCD")


def test_own_data_with_a_list_or_with_several_columns(tmp_path):
    [listed] = read(tmp_path, [{"question": "q", "cands": ["x", 7], "gold": "B"}], options=("cands",), label="gold")
    assert (listed.fields["options"], listed.label) == ("A. x\nB. 7", 1)
    text = "question,a,b,c,label\nq,x,y,,y\nr,x,y,z,C\n"
    first, second = read(tmp_path, text, name="mine.csv", options=("a", "b", "c"))
    assert ((first.options, first.label), (second.options, second.label)) == ((2, 1), (3, 2))
    [in_csv] = read(tmp_path, 'question,options,label\nq,"[""x"", ""y""]",A\n', name="list.csv")
    assert (in_csv.fields["options"], in_csv.label) == ("A. x\nB. y", 0)


def test_a_text_column_that_is_called_options_is_text(tmp_path):
    [example] = read(tmp_path, [{"question": "q", "options": "x or y", "label": "B"}])
    assert (example.fields["options"], example.options, example.label) == ("x or y", None, 1)


@pytest.mark.parametrize(
    ("row", "changes", "message"),
    [
        ({"question": "q", "passage": "p"}, {}, r":1: prompt_template names \{options\}, .* name the columns of its"),
        ({"question": "q", "choicse": ["x"]}, {"options": ("choices",)}, r"no row has .* did you mean 'choicse'\?"),
        ({"question": "q", "choices": ["x", ""], "answer": 0}, {}, r":1: option B is empty; every option needs text"),
        ({"question": "q", "c": ["x", None], "label": "A"}, {"options": ("c",)}, r":1: option B is empty"),
        ({"question": "q", "c": ["x", {}], "label": "A"}, {"options": ("c",)}, r":1: option B is an object; it must"),
        ({"question": "q", "c": "x, y", "label": "A"}, {"options": ("c",)}, r":1: the field 'c' is 'x, y'; .* a list"),
        ({"question": "q", "choices": ["x"], "answer": 0}, {}, r":1: the row has 1 option; a choice needs 2 at least"),
        ({"question": "q", "choices": list("vwxyz"), "answer": 0}, {"classes": 4},
         r":1: the row has 5 options, and num_labels is 4; set num_labels: 5"),
        ({"question": "q", "choices": ["x"] * 27, "answer": 0}, {}, r"27 options; there are letters for 26 at most"),
        ({"question": "q", "choices": ["x", "y"], "answer": 2}, {}, r":1: the field 'answer' is 2, and the row has 2"),
        ({"question": "q", "choices": ["x", "\ud800"], "answer": 0}, {}, r":1: .*surrogate"),
        (ARC | {"answerKey": "3"}, {}, r":1: the field 'answerKey' is '3', .*2 options, A to B; which it calls '1'"),
        (ARC, {}, r":1: no row has the field 'answerKey'.*see label_column"),
        ({"question": "q", "choices": {"text": ["x", "y"], "label": ["A"]}, "answerKey": "A"}, {},
         r":1: the row has 2 options and 1 label of options; give one each"),
        ({"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "A"]}, "answerKey": "A"}, {},
         r":1: two options have the label 'A'; give each its own"),
        ({"question": {"stem": "q", "choices": [{"text": "x"}, {"text": "y"}]}, "answerKey": "A"}, {},
         r":1: an option has no label; give each its own"),
        ({"question": "q", "c": ["x", float("inf")], "label": "A"}, {"options": ("c",)}, r":1: option B is inf; it"),
        ({"question": "q", "c": None, "label": "A"}, {"options": ("c",)}, r":1: the field 'c' is null; .* a list"),
        ({"question": "q", "choices": {"text": "xy", "label": ["A", "B"]}, "answerKey": "A"}, {},
         r":1: the options are 'xy'; they must be a list"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_options_is_said_with_its_line(tmp_path, row, changes, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, [row], **changes)


def test_rows_of_two_layouts_and_other_class_names_are_refused(tmp_path):
    mmlu = {"question": "q", "choices": ["x", "y"], "answer": 0}
    with pytest.raises(DataError, match=r":2: the row is not of the file's layout, question and a list of choices"):
        read(tmp_path, [mmlu, ARC | {"answer": 0}])
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(mmlu) + "\n")
    with pytest.raises(DataError, match=r"the classes are|whose classes are the letters from A, .* delete class_names"):
        read_examples(path, Columns(prompt=PROMPT, class_names=("no", "yes")))


@pytest.mark.parametrize(
    ("odd", "others", "message"),
    [
        ({"choices": None}, {"choices": ["x", "y"]}, "of the file's layout, question and a list of choices"),
        ({"options": None}, {"options": ["x", "y"]}, "the field 'options' is null; it must be a list of options"),
        ({}, {"options": ["x", "y"]}, "the field 'options' is missing; it must be a list of options"),
        ({"options": "x; y"}, {"options": ["x", "y"]}, "the field 'options' is 'x; y'; it must be a list of options"),
    ],
)
@pytest.mark.parametrize("at", [0, 2])
def test_one_row_that_is_not_as_the_others_is_that_rows_mistake(tmp_path, odd, others, message, at):
    rows = [{"question": "q", "answer": 0, **others}] * 2
    rows.insert(at, {"question": "q", "answer": 0, **odd})
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, rows, answer_form="index")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == [str(at + 1)]


def test_equal_options_are_a_warning(tmp_path):
    with pytest.warns(UserWarning, match=r"mine\.jsonl: 1 row with two equal options, first in line 2: 'x'"):
        read(tmp_path, [{"question": "q", "choices": ["x", "y"], "answer": 0},
                        {"question": "q", "choices": ["x", "x "], "answer": 0}])  # fmt: skip


def test_unanswered_rows_are_examples_where_no_label_is_needed(tmp_path):
    rows = [ARC | {"answerKey": ""}, ARC | {"answerKey": "2"}]
    assert [example.label for example in read(tmp_path, rows, require_labels=False)] == [None, 1]
    assert read(tmp_path, [ARC], require_labels=False)[0].label is None
