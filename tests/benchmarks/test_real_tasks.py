"""Two small tasks from rows to tables on the embedded model, every command in this process."""

import contextlib
import io
import json
import random
from functools import partial
from importlib import resources

import pytest

import real.plans
import real.stages
import real.tables
import real_tasks
import real_tasks_table
from ensemble_uq_llm import load_predictions
from ensemble_uq_llm.cli import main as command
from real.mean_member import write_mean_member
from real.parts import FailedPart, Parts
from real.plans import ANSWER, CLASSIFICATION, Plan
from real.rows import rows_of
from small_benchmarks import TINY

PLANS = (
    Plan(task="rte", train_file="rte.jsonl", test_file="rte.jsonl", split="dev", train_rows=9, answers=(" A", " B")),
    Plan(
        task="arc_easy",
        train_file="arc.jsonl",
        test_file="arc.jsonl",
        split="test",
        train_rows=30,
        test_rows=24,
        heads=(ANSWER,),
    ),
    Plan(
        task="boolq",
        train_file="boolq.jsonl",
        test_file="boolq_dev.jsonl",
        split="dev",
        train_rows=40,
        heads=(CLASSIFICATION,),
        answers=(" A", " B"),
    ),
)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The benchmark with two tasks that are run and a third that is not."""
    for module in (real.plans, real_tasks, real_tasks_table):
        monkeypatch.setattr(module, "PLANS", PLANS)
    monkeypatch.setattr(real.plans, "SETTINGS", TINY)
    monkeypatch.setattr(Parts, "_command", in_process)
    monkeypatch.setattr(real.stages, "write_mean_member", partial(write_mean_member, draws=100))
    rng, data = random.Random(0), tmp_path / "data"
    data.mkdir()
    stems = [f"What is number {n}?" for n in range(40)]
    options = [
        [{"text": f"word {rng.random()}", "label": letter} for letter in "ABCDE"[: 3 + n % 3]] for n in range(40)
    ]
    arc = [
        {"question": {"stem": stem, "choices": choices}, "answerKey": rng.choice("ABC")}
        for stem, choices in zip(stems, options, strict=True)
    ]
    boolq = [{"question": f"is it {n}", "passage": f"It is {n}.", "answer": n % 3 > 0} for n in range(70)]
    asked = [row | {"question": f"{row['question']} now"} for row in boolq[30:]]
    rte = [{"premise": f"P {n}.", "hypothesis": f"H {n}.", "label": "entailment"} for n in range(25)]
    for name, rows in (("arc", arc), ("boolq", boolq[:40]), ("boolq_dev", asked), ("rte", rte)):
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    base = str(resources.files("ensemble_uq_llm") / "assets" / "tiny_llama")
    out = tmp_path / "out"
    words = ["--data", str(data), "--base", base, "--out", str(out), "--members", "2"]
    return lambda *more: real_tasks.main([*words, *more]), out


def in_process(parts, part):
    words, output, printed = part.words, part.output, io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            command([*words, *(("--draws", "100") if words[0] in ("evaluate", "compare") else ())])
    except SystemExit as end:
        if end.code:
            raise FailedPart(words) from None
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(printed.getvalue())


@pytest.mark.filterwarnings("ignore")
def test_from_rows_to_tables(bench, capsys, tmp_path):
    run, out = bench
    assert run("--task", "arc_easy", "--task", "boolq") == 0
    capsys.readouterr()
    assert run("--task", "arc_easy", "--task", "boolq") == 0
    assert "now:" not in capsys.readouterr().out
    page = tmp_path / "page.md"
    page.write_text(f"# Results\n{real_tasks_table.BEGIN}\nold\n{real_tasks_table.END}\nafter\n")
    for _ in range(2):
        real_tasks_table.main(["--out", str(out), "--page", str(page)])
    text = page.read_text()
    assert text.endswith(f"{real_tasks_table.END}\nafter\n")
    assert "old" not in text
    check_tables(text, out)
    for name in ("new_passage", "seen_passage"):
        part = load_predictions(out / f"boolq/slices/classification/{name}.parquet")
        assert list(part.labels) == [int(row["answer"]) for row in rows_of(out / f"boolq/rows/{name}.jsonl")]


def check_tables(text, out):
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    cells = {row[0]: row[1:] for row in rows}
    metrics = json.loads((out / "boolq/classification/metrics/validation.json").read_text())
    accuracy = metrics["ensemble"]["accuracy"]
    shown = "{:.1%} ({:.1%} to {:.1%})".format(accuracy["value"], *accuracy["ci95"])
    assert cells["classification head: ensemble"][0] == shown
    scaled = metrics["temperature"]["pooled"]["after"]["nll"]
    shown = "{:.3f} ({:.3f} to {:.3f})".format(scaled["value"], *scaled["ci95"])
    assert cells["classification head: ensemble, with temperature"][1] == shown
    compared = json.loads((out / "boolq/comparisons/classification_against_zero_shot.json").read_text())
    change = compared["metrics"]["accuracy"]["difference"]
    low, high = (100 * each for each in change["ci95"])
    shown = f"{100 * change['value']:+.1f} points ({low:+.1f} to {high:+.1f}), p "
    assert cells["classification head: ensemble - zero-shot"][0].startswith(shown)
    zero_shot = json.loads((out / "boolq/base_zero_shot/metrics/validation.json").read_text())
    mass = 1 - zero_shot["uncertainty"]["average_one_minus_answer_mass"]
    assert f"Answer mass: zero-shot {mass:.3f}." in text
    lines = (out / "rows/arc_easy_test_24.jsonl").read_text().splitlines()
    options = [len(json.loads(line)["question"]["choices"]) for line in lines]
    assert cells["guessing"][0] == f"{sum(1 / each for each in options) / 24:.1%}"
    assert cells["classification: RTE's rows (25 against 30)"][3] == "—"
    assert "—" not in cells["zero_shot: RTE's rows (25 against 30)"][3]
    assert [row[3] for row in rows if row[0] == "rte"] == ["—", "—"]
    assert "not run: `python benchmarks/real_tasks.py --data DATA --base BASE --task rte`" in text
    assert all(len(row) == len(rows[n]) for n, row in enumerate(rows))


def test_the_smallest_p_value_of_so_many_draws_is_a_bound():
    change = {"value": 0.11, "ci95": (0.083, 0.134), "p_value": 2 / 1001, "at_floor": True}
    assert real.tables._test("accuracy", change) == "+11.0 points (+8.3 to +13.4), p < 0.002"
    assert real.tables._test("nll", change | {"ci95": None, "p_value": 0.04, "at_floor": False}) == "+0.110, p = 0.040"


def test_a_page_without_markers_is_left_alone(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("# Results\n")
    with pytest.raises(SystemExit, match="2"):
        real_tasks_table.main(["--out", str(tmp_path), "--page", str(page)])
    assert "each once" in capsys.readouterr().err
    assert page.read_text() == "# Results\n"


def test_the_list_says_what_is_done(tmp_path, capsys):
    assert real_tasks.main(["--list", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [plan.task, head] for plan in real_tasks.PLANS for head in plan.heads
    ]
    assert not any(line.endswith("done") for line in lines)
