"""Makers on the ensemble of a small task, every command in this process: its own, and one that is given."""

import json
from functools import partial
from importlib import resources

import pytest

import posterior_bench.methods
import posterior_bench.tasks.real_parts
import posteriors
import real.plans
from ensemble_uq_llm import Run, compare, load_predictions
from posterior_bench import chain, closed_form
from posterior_bench.tasks.real_measured import RealCell
from real.parts import PACKAGE, Parts
from real.plans import CLASSIFICATION, Plan
from small_benchmarks import TINY

PLANS = (
    Plan(
        task="boolq",
        train_file="boolq.jsonl",
        test_file="boolq_dev.jsonl",
        split="dev",
        train_rows=40,
        heads=(CLASSIFICATION,),
    ),
)
MADE = ("mc_dropout_one", "mc_dropout_all")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A function that runs the benchmark of one small task, and returns what it did."""
    done = []

    def in_process(parts, part):
        done.append(part.name)
        if part.program == PACKAGE:
            chain.main(part.words)
        else:
            {chain.PROGRAM: chain.main, closed_form.PROGRAM: closed_form.main}[part.program](part.words)

    for module in (real.plans, posteriors):
        monkeypatch.setattr(module, "PLANS", PLANS)
    monkeypatch.setattr(real.plans, "SETTINGS", TINY)
    monkeypatch.setattr(posterior_bench.methods, "MAKERS", {"mc_dropout": ""})
    monkeypatch.setattr(Parts, "_command", in_process)
    monkeypatch.setattr(posterior_bench.tasks.real_parts, "RealCell", partial(RealCell, draws=100))
    data = tmp_path / "data"
    data.mkdir()
    rows = [{"question": f"is it {n}", "passage": f"It is {n}.", "answer": n % 3 > 0} for n in range(70)]
    for name, own in (("boolq", rows[:40]), ("boolq_dev", rows[40:])):
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    base = str(resources.files("ensemble_uq_llm") / "assets" / "tiny_llama")

    def run(out, *more):
        done.clear()
        words = ["--real", "--data", str(data), "--base", base, "--out", str(out), "--task", "boolq", *more]
        assert posteriors.main(words) == 0
        return list(done)

    return run


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore")
def test_an_ensemble_that_is_given_is_only_read(bench, tmp_path):
    own, given = tmp_path / "own", tmp_path / "given"
    assert bench(own)[0] == "boolq_classification_run"
    assert bench(own) == []
    before = contents(own)
    assert "boolq_classification_run" not in bench(given, "--runs", str(own))
    assert contents(own) == before
    records = [json.loads((out / "measured/boolq.json").read_text()) for out in (own, given)]
    for record in records:
        record.pop("seconds")
    assert records[0] == records[1]
    check_record(records[0], RealCell(out=own, task="boolq", run=own / "boolq" / CLASSIFICATION))


def check_record(record, cell):
    assert set(record["methods"]) >= {*MADE, "first_temperature", "ensemble_temperature", "laplace_closed_form_one"}
    predicted = {name: load_predictions(cell.made(name) / "predictions/validation.parquet") for name in MADE}
    assert {len(each.members) for each in predicted.values()} == {4}, "at equal passes"
    found = record["methods"]["ensemble"]["nll"]["value"]
    run = Run(cell.run)
    assert found == pytest.approx(run.metrics["validation"].ensemble["nll"].value)
    after = run.metrics["validation"].temperature.pooled.after["nll"].value
    assert record["methods"]["ensemble_temperature"]["nll"]["value"] == pytest.approx(after)
    compared = compare(run.predictions(), predicted["mc_dropout_all"]).metrics["nll"].difference.value
    told = record["against"]["ensemble_temperature"]["mc_dropout_all"]["nll"]["value"]
    assert told == pytest.approx(compared + found - after)
