import subprocess
import sys
from pathlib import Path

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data import datasets
from ensemble_uq_llm.data.datasets import DATASETS, SplitRequest, declared_shifts, find_dataset, load_split
from ensemble_uq_llm.data.embedded import synthetic
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.label_values import ClassCode
from hub_server import client_environment

BOOLQ = Columns(prompt=("question", "passage"))


def test_every_name_is_found_and_has_the_two_splits():
    for dataset in DATASETS:
        assert find_dataset(dataset.name) is dataset
        assert {"train", "validation"} <= set(dataset.splits)
        assert len(dataset.class_names) >= 2
    assert len({dataset.name for dataset in DATASETS}) == len(DATASETS)


def test_synthetic_splits_are_the_generated_sets():
    for name in ("train", "validation", "unknown_words"):
        request = SplitRequest(dataset="synthetic", split=name, size=20)
        assert load_split(request, BOOLQ) == synthetic.generate(name, n=20)


def test_boolq_rows_become_examples(monkeypatch):
    asked = {}

    def load_hub_rows(repo, **options):
        asked.update(options, repo=repo)
        row = {"question": "is it", "answer": True, "passage": "It is."}
        return [Record(line=line, values=row) for line in (1, 2, 3)]

    monkeypatch.setattr(datasets, "load_hub_rows", load_hub_rows)
    request = SplitRequest(dataset="boolq", split="validation", cache_dir=Path("kept"), size=2)
    examples = load_split(request, BOOLQ)
    assert [(example.id, example.label) for example in examples] == [("0", 1), ("1", 1)]
    assert asked == {"repo": "google/boolq", "split": "validation", "cache_dir": Path("kept"), "configuration": None}
    with pytest.raises(DataError, match=r"google/boolq\[validation\]:1: no row has the field 'titel'"):
        load_split(request, Columns(prompt=("titel",)))


HUB_ROWS = {
    "openbookqa": ({"question_stem": "q", "choices": {"text": list("wxyz"), "label": list("ABCD")}, "answerKey": "C"},
                   "allenai/openbookqa", "main", "validation", 2, 4),
    "arc_easy": ({"question": "q", "choices": {"text": list("xyz"), "label": list("123")}, "answerKey": "3"},
                 "allenai/ai2_arc", "ARC-Easy", "validation", 2, 3),
    "commonsenseqa": ({"question": "q", "choices": {"text": list("vwxyz"), "label": list("ABCDE")}, "answerKey": "E"},
                      "tau/commonsense_qa", None, "validation", 4, 5),
    "winogrande_s": ({"sentence": "_", "option1": "x", "option2": "y", "answer": "1"},
                     "allenai/winogrande", "winogrande_s", "validation", 0, 2),
    "mmlu": ({"question": "q", "subject": "s", "choices": list("wxyz"), "answer": ClassCode(3, tuple("ABCD"))},
             "cais/mmlu", "all", "validation", 3, 4),
    "sst2": ({"sentence": "s", "label": ClassCode(1, ("negative", "positive"))},
             "stanfordnlp/sst2", None, "validation", 1, None),
    "rte": ({"sentence1": "p", "sentence2": "h", "label": ClassCode(1, ("entailment", "not_entailment"))},
            "nyu-mll/glue", "rte", "validation", 1, None),
    "ag_news": ({"text": "t", "label": ClassCode(3, ("World", "Sports", "Business", "Sci/Tech"))},
                "fancyzhx/ag_news", None, "test", 3, None),
}  # fmt: skip
PROMPTS = {"sst2": ("sentence",), "rte": ("premise", "hypothesis"), "ag_news": ("text",)}


@pytest.mark.parametrize("name", HUB_ROWS)
def test_every_set_of_the_hub_is_asked_for_and_read_by_its_own_layout(monkeypatch, name):
    row, repo, configuration, split, label, options = HUB_ROWS[name]
    asked = {}

    def load_hub_rows(repo, **given):
        asked.update(given, repo=repo)
        return [Record(line=1, values=row)]

    monkeypatch.setattr(datasets, "load_hub_rows", load_hub_rows)
    columns = Columns(prompt=PROMPTS.get(name, ("question", "options")), class_names=find_dataset(name).class_names)
    [example] = load_split(SplitRequest(dataset=name, split="validation"), columns)
    assert (asked["repo"], asked["configuration"], asked["split"]) == (repo, configuration, split)
    assert (example.label, example.options) == (label, options)


def test_a_file_takes_the_place_of_the_data_set(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("question,passage,label\na,b,yes\nc,d,no\n")
    request = SplitRequest(dataset="boolq", split="train", file=path, size=1)
    [example] = load_split(request, BOOLQ)
    assert (example.fields, example.label) == ({"question": "a", "passage": "b"}, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "bolq",
            r"unknown data set 'bolq'; did you mean 'boolq'\?; known are 'boolq', 'synthetic', .*; for other data",
        ),
        ("google/boolq", r"did you mean 'boolq'\?"),
        (
            "imdb",
            r"unknown data set 'imdb'; known are .* give train_file and validation_file \(\.jsonl, \.csv, \.tsv",
        ),
    ],
)
def test_unknown_data_sets(name, message):
    with pytest.raises(DataError, match=message):
        load_split(SplitRequest(dataset=name, split="train"), BOOLQ)


def test_unknown_splits():
    message = r"data set 'boolq' has no split 'validatoin'; did you mean 'validation'\?; it has 'train', 'validation'"
    with pytest.raises(DataError, match=message):
        load_split(SplitRequest(dataset="boolq", split="validatoin"), BOOLQ)


def test_another_number_of_classes():
    columns = Columns(prompt=("question",), class_names=("a", "b", "c"))
    with pytest.raises(DataError, match=r"'synthetic' has 2 classes \('no', 'yes'\), not 3; set num_labels"):
        load_split(SplitRequest(dataset="synthetic", split="train"), columns)


def test_synthetic_has_no_such_field():
    with pytest.raises(DataError, match=r"'synthetic' has no field 'pasage'; did you mean 'passage'\?; it has"):
        load_split(SplitRequest(dataset="synthetic", split="train"), Columns(prompt=("pasage",)))


def test_reading_local_files_imports_nothing_heavy(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "a", "passage": "b", "answer": true}\n')
    program = f"""
import sys
from ensemble_uq_llm.data import cut
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data import datasets
from ensemble_uq_llm.data.reading import hub_rows as hub
from ensemble_uq_llm.data import prompts
from ensemble_uq_llm.data.reading import data_files as records
from ensemble_uq_llm.data import split
from ensemble_uq_llm.data import tokenize
from ensemble_uq_llm.data.reading.columns import Columns
request = datasets.SplitRequest(dataset="boolq", split="train", file={str(path)!r})
assert len(datasets.load_split(request, Columns(prompt=("question",)))) == 1
assert "pyarrow" not in sys.modules
print({{name.partition(".")[0] for name in sys.modules}} & {{"torch", "transformers", "datasets", "huggingface_hub"}})
"""
    environment = client_environment("http://127.0.0.1:9", tmp_path)
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("set()\n", "")


def test_a_data_set_declares_its_own_shifts_but_not_those_of_the_users_files():
    own = Config(dataset="synthetic")

    assert declared_shifts(own) == tuple(each.name for each in synthetic.SETS if each.is_shift)
    assert declared_shifts(Config(dataset="boolq")) == ()
    assert declared_shifts(Config(dataset="synthetic", train_file="a.csv", validation_file="b.csv")) == ()
