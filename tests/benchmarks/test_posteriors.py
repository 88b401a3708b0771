"""Two tiny training sets from rows to tables on the embedded model, every command in this process."""

import json

import numpy as np
import pytest

import posterior_bench.methods
import posteriors
import posteriors_table
from ensemble_uq_llm import Run, evaluate
from ensemble_uq_llm.predictions.selection import of_members
from posterior_bench import chain, closed_form
from posterior_bench.world import worlds
from posterior_bench.world.cells import Cell
from real.parts import FailedPart, Parts, Stopped

OVERRIDES = (
    "lora_layers=[3]",
    'lora_target_modules=["q_proj"]',
    "lora_r=2",
    "device=cpu",
    "num_epochs=2",
    "early_stopping_patience=null",
)
MAKERS = {"mc_dropout": ""}  # one is enough: what differs between makers is tested with them


class Commands:
    """Runs a part's command in this process, and stops or fails where a test says so."""

    def __init__(self):
        self.done, self.stop_before, self.failing = [], None, ()

    def run(self, part):
        if part.name == self.stop_before:
            raise Stopped
        if part.name in self.failing:
            raise FailedPart(part.name)
        self.done.append(part.name)
        program = {chain.PROGRAM: chain.main, closed_form.PROGRAM: closed_form.main}[part.program]
        program(part.words)


@pytest.fixture
def commands(monkeypatch):
    found = Commands()
    monkeypatch.setattr(posterior_bench.methods, "MAKERS", MAKERS)
    monkeypatch.setattr(Parts, "_command", lambda _, part: found.run(part))
    return found


def words(out):
    asked = [word for each in OVERRIDES for word in ("--set", each)]
    return ["--out", str(out), "--sets", "2", "--questions", "24", "--members", "2", "--test-rows", "24", *asked]


@pytest.mark.filterwarnings("ignore")
def test_from_rows_to_tables_with_a_stop_and_a_maker_that_fails(commands, tmp_path, capsys):
    out = tmp_path / "out"
    commands.stop_before = "questions_24_set_1_mc_dropout_all"
    assert posteriors.main(words(out)) == 75
    before = list(commands.done)
    commands.stop_before, commands.failing = None, {"questions_24_set_2_mc_dropout_one"}
    assert posteriors.main(words(out)) == 1
    assert "failed: questions_24_set_2_mc_dropout_one" in capsys.readouterr().err
    assert len(commands.done) == len(set(commands.done)), "nothing is made twice"
    assert set(before) < set(commands.done)
    commands.failing, commands.done = (), []
    assert posteriors.main(words(out)) == 0
    assert commands.done == ["questions_24_set_2_mc_dropout_one"]
    records = posteriors_table.measured_in(out)
    check_records(records, out)
    check_page(tmp_path, out)


def check_records(records, out):
    assert [each["seed"] for each in records] == [1, 2]
    for record in records:
        run = Run(out / f"questions_24_set_{record['seed']}" / "members")
        predicted, found = run.predictions(), record["methods"]
        together = evaluate(predicted, calibration=run.predictions("calibration"), draws=1000).metrics
        floor = together.ensemble["ece"].noise_floor.mean
        assert found["ensemble"]["ece_excess"] == pytest.approx(together.ensemble["ece"].value - floor, abs=1e-9)
        assert found["ensemble"]["nll"] == pytest.approx(together.ensemble["nll"].value)
        # The temperature is that of the evaluation, which says what is after it.
        assert found["ensemble_temperature"]["nll"] == pytest.approx(together.temperature.pooled.after["nll"].value)
        alone = [
            evaluate(of_members(predicted, [member], name="", others=""), draws=0).metrics.ensemble["nll"].value
            for member in predicted.members
        ]
        assert found["member"]["nll"] == pytest.approx(np.mean(alone))
        assert found["first"]["nll"] == pytest.approx(alone[0])
        truth = worlds.World(folder=out / "rows", seed=record["seed"], test_rows=24).truth("validation", predicted.ids)
        bayes = -np.log(truth[np.arange(24), predicted.labels_N]).mean()
        assert found["ensemble"]["nll_over_bayes"] == pytest.approx(together.ensemble["nll"].value - bayes)
        assert "auroc/unknown_words/mutual_information" in found["mc_dropout_one"]
        assert "auroc/unknown_words/mutual_information" not in found["ensemble_temperature"]
        passes = {name: len(Run(out / f"questions_24_set_{record['seed']}" / name).members) for name in MADE}
        assert set(passes.values()) == {2}, "at equal passes"
        assert set(record["cost"]["seconds"]) == {"members", "laplace_closed_form", *MADE}


MADE = ("mc_dropout_one", "mc_dropout_all")


def check_page(tmp_path, out):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{posteriors_table.BEGIN}\nold\n{posteriors_table.END}\nafter\n")
    for _ in range(2):
        posteriors_table.main(["--out", str(out), "--page", str(page)])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "### 24 questions" in text
    assert "cannot fall below p = 2/4 = 0.5" in text
    assert "not run: `python benchmarks/posteriors.py --real" in text
    records = posteriors_table.measured_in(out)
    mean = np.mean([each["methods"]["ensemble"]["truth/kl"] for each in records])
    line = next(line for line in text.splitlines() if line.startswith("| **ensemble** |"))
    assert line.split(" | ")[1].startswith(f"{mean:.4f} ± ")
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_what_was_not_run_says_so(tmp_path, capsys):
    posteriors_table.main(["--out", str(tmp_path)])
    told = capsys.readouterr().out
    assert told.count("not run") == 3
    page = tmp_path / "page.md"
    page.write_text("no markers\n")
    with pytest.raises(SystemExit, match="2"):
        posteriors_table.main(["--out", str(tmp_path), "--page", str(page)])
    assert page.read_text() == "no markers\n"


def test_a_table_reads_what_was_measured_of_a_task(tmp_path, capsys):
    estimate = {"value": 0.3, "ci95": [0.2, 0.4], "noise_floor": {"mean": 0.02}}
    numbers = dict.fromkeys(("accuracy", "nll", "brier", "ece", "aurc"), estimate)
    names = ("first", "first_temperature", "ensemble", "ensemble_temperature", "tfb_all", "mc_dropout_all")
    gain = {"value": -0.1, "ci95": [-0.15, -0.05], "p_value": 0.004}
    none = {"value": -0.1, "ci95": [-0.19, -0.01], "p_value": 0.04}
    for other, words in ((gain, "**better**"), (none, "nothing shows")):
        # Two makers: what is .04 of the worse one stays, of two alike it is doubled.
        against = {"tfb_all": dict.fromkeys(("nll", "brier", "ece", "aurc"), other)}
        against["mc_dropout_all"] = dict.fromkeys(("nll", "brier", "ece", "aurc"), none)
        record = {
            "task": "rte",
            "rows": 100,
            "members": 4,
            "methods": dict.fromkeys(names, numbers),
            "mean_member": {"raw": numbers, "scaled": numbers, "ece_floor": {"raw": 0.02, "scaled": 0.02}},
            "against": {"first_temperature": {}, "ensemble_temperature": against},
            "seconds": {"tfb_all": 3.0},
        }
        (tmp_path / "measured").mkdir(exist_ok=True)
        (tmp_path / "measured/rte.json").write_text(json.dumps(record))
        posteriors_table.main(["--out", str(tmp_path)])
        lines = capsys.readouterr().out.splitlines()
        differences = [line for line in lines if line.startswith("| tfb x ensemble | -0.1000")]
        assert len(differences) == 1
        assert differences[0].count(words) == 4


def test_settings_of_makers_are_the_benchmarks_unless_given():
    cell = Cell(out=None, seed=1, questions=500, members=10, maker_settings=("swag.rate=0.2", "tfb.rounds=3"))
    assert list(cell.settings_of("swag")) == ["rate=0.2", "tolerance=0.1", "epochs=4"]
    assert list(cell.settings_of("tfb")) == ["rounds=3"]
    assert list(cell.settings_of("laplace")) == []
    sizes = {
        questions: Cell(out=None, seed=1, questions=questions, members=10).epochs for questions in (125, 500, 2000)
    }
    assert sizes == {125: 48, 500: 12, 2000: 3}


def test_commands_of_a_chain_end_with_the_first_that_fails(monkeypatch):
    done = []

    def command(words):
        done.append(words)
        raise SystemExit(75 if words == ["b"] else 0)

    monkeypatch.setattr(chain, "command", command)
    with pytest.raises(SystemExit, match="75"):
        chain.main(["a", "x", "then", "b", "then", "c"])
    assert done == [["a", "x"], ["b"]]
