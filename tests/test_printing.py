import csv
import io
import json

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.evaluate import evaluate
from ensemble_uq_llm.evaluation.files.metrics_json import SCHEMA_VERSION, as_json
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.printing import console_for, print_evaluations, print_json, print_plain, print_record


def evaluated(n):
    ids = tuple(str(index) for index in range(n))
    labels = tuple(index % 2 for index in range(n))
    logits_MNC = np.random.default_rng(0).normal(size=(2, n, 2)).astype(np.float32)
    return evaluate(
        Predictions(ids=ids, labels=labels, members=trained((42, 43)), logits_MNC=logits_MNC), draws=0
    ).metrics


def test_json_is_readable_and_keeps_every_letter(capsys):
    print_json({"name": "größer", "list": [1, None]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "größer", "list": [1, None]}
    assert "größer" in out


@pytest.mark.parametrize("as_json", [True, False])
def test_people_read_beside_the_json(capsys, as_json):
    console_for(as_json=as_json).print("hello")
    out, err = capsys.readouterr()
    assert (err if as_json else out) == "hello\n"
    assert (out if as_json else err) == ""


@pytest.mark.parametrize("text", ["[INST] x [/INST]", "[/b]", ":smile:", "[bold]x"])
def test_text_is_shown_as_it_is(capsys, text):
    console_for(as_json=False).print(text)
    print_record({"text": text}, as_json=False)
    assert capsys.readouterr().out.count(text) == 2


def test_a_record_for_people(capsys):
    print_record({"free_bytes": 1234567, "mean": 28.333, "ok": True, "seeds": [1, 2], "none": None}, as_json=False)
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert rows[0][0] == "free"
    assert rows[0][1].split() == ["bytes", "1,234,567"]
    assert [[word.strip() for word in row] for row in rows[1:]] == [
        ["mean", "28.3"],
        ["ok", "True"],
        ["seeds", "1, 2"],
        ["none", "None"],
    ]


def test_a_record_for_programs(capsys):
    print_record({"mean": 28.333}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"mean": 28.333}


def test_evaluations_for_programs(capsys):
    evaluations = {"validation": evaluated(9), "shifted": evaluated(7)}
    print_evaluations(evaluations, as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {name: as_json(metrics) for name, metrics in evaluations.items()}
    assert json.loads(out)["validation"]["schema_version"] == SCHEMA_VERSION
    assert err == ""


def test_evaluations_for_people(capsys):
    print_evaluations({"validation": evaluated(9)}, as_json=False)
    out = capsys.readouterr().out
    assert "validation  9 examples, 2 members" in out
    assert "Accuracy" in out
    assert max(map(len, out.splitlines())) <= 80


def test_tables_of_several_sets_to_paste(capsys):
    metrics = {"validation": evaluated(9), "shifted": evaluated(7)}
    print_plain(metrics, "markdown")
    markdown = capsys.readouterr().out
    print_plain(metrics, "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    assert [line for line in markdown.splitlines() if line.startswith("**")] == ["**validation**", "**shifted**"]
    assert {row["set"] for row in rows} == {"validation", "shifted"}
    assert {row["metric"]: float(row["ensemble"]) for row in rows if row["set"] == "shifted"}["nll"] == (
        metrics["shifted"].ensemble["nll"].value
    )
