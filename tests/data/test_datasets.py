import subprocess
import sys
from pathlib import Path

import pytest

from ensemble_uq_llm.data import datasets
from ensemble_uq_llm.data.datasets import DATASETS, SplitRequest, find_dataset, load_split
from ensemble_uq_llm.data.embedded import synthetic
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.errors import DataError
from hub_server import client_environment

BOOLQ = Columns(prompt=("question", "passage"))


def test_every_name_is_found_and_has_the_two_splits():
    for dataset in DATASETS:
        assert find_dataset(dataset.name) is dataset
        assert {"train", "validation"} <= set(dataset.splits)
        assert dataset.class_names == ("no", "yes")
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
    assert asked == {"repo": "google/boolq", "split": "validation", "cache_dir": Path("kept")}
    with pytest.raises(DataError, match=r"google/boolq\[validation\]:1: no row has the field 'titel'"):
        load_split(request, Columns(prompt=("titel",)))


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
            r"unknown data set 'bolq'; did you mean 'boolq'\?; known are 'boolq', 'synthetic'; for other data",
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
