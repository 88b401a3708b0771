"""Every command and snippet of the tutorial and the README's Python, run for real on fewer and shorter trainings."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from documents import DOCUMENTS, blocks, section
from ensemble_uq_llm import Predictions, write_predictions
from ensemble_uq_llm.cli import app
from ensemble_uq_llm.models.checks.families import PROVEN

TUTORIAL, README, METRICS_PAGE = DOCUMENTS["docs/tutorial.md"], DOCUMENTS["README.md"], DOCUMENTS["docs/metrics.md"]

SMALLER = {
    "range(1000, 3000)": "range(1000, 1160)",
    "tickets[:1600]": "tickets[:100]",
    "tickets[1600:]": "tickets[100:]",
    "range(5000, 5300)": "range(5000, 5030)",
    "seeds: [1, 2, 3, 4, 5]": "seeds: [1, 2]",
    "num_epochs: 2": "num_epochs: 1",
    "warmup_steps: 10": "warmup_steps: 1",
    "output_dir: runs/tickets": "output_dir: runs/tickets\nbootstrap_draws: 100\ndevice: cpu",
}
"""What stands in the tutorial, and what the test puts in its place."""

SMALL_RUN = """\
model_name: embedded
dataset: synthetic
max_train_examples: 64
max_validation_examples: 40
warmup_steps: 1
num_epochs: 1
seeds: [1, 2, 3]
bootstrap_draws: 100
device: cpu
output_dir: runs/first
"""


def test_the_tutorial_lists_the_model_types_that_are_proved():
    listed = section(TUTORIAL, "## Another base").partition("of each row alone: ")[2].partition(".")[0]
    assert listed.replace("`", "").split() == ", ".join(PROVEN).split()
    assert f"{len(PROVEN)} [model types](docs/tutorial.md#another-base)" in README


def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, block in blocks(smaller(TUTORIAL), "python", "yaml", "sh"):
        if language == "python":
            exec(compile(block, "tutorial", "exec"), names)
        elif language == "yaml":
            Path("tickets.yaml").write_text(block, encoding="utf-8")
        else:
            for line in block.splitlines():
                result = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
                assert result.exit_code == 0, result.output
    printed = capsys.readouterr().out
    assert "of 60 tickets and is wrong on" in printed
    assert "Ticket 3001: the parcel is late. ->" in printed
    assert Path("runs/tickets/uncertainty/monday.csv").is_file()
    assert "On other data" in Path("runs/tickets/report.html").read_text(encoding="utf-8")


def test_the_python_of_the_readme_and_of_the_metrics_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/first.yaml").write_text(SMALL_RUN, encoding="utf-8")
    rng = np.random.default_rng(0)
    labels_N = rng.integers(2, size=50)
    probs_MNC = rng.dirichlet([1, 1], size=(2, 50))
    mine = Predictions.from_arrays(probs=probs_MNC, labels=labels_N)
    theirs = Predictions.from_arrays(probs=probs_MNC[:1], labels=labels_N)
    np.savez("theirs.npz", probs=probs_MNC[:1], labels=labels_N)
    mine.to_frame().to_csv("mine.csv", index=False)
    write_predictions(Path("theirs.parquet"), theirs)
    names: dict[str, object] = {"probs_MNC": probs_MNC, "labels_N": labels_N}
    [of_runs] = blocks(section(README, "## From Python"), "python")
    [of_others] = blocks(section(README, "## Predictions of another system"), "python")
    [of_metrics] = blocks(METRICS_PAGE, "python")
    for _, block in (of_runs, of_others, of_metrics):
        small = block.replace("runs/demo", "runs/first").replace('{"sentence": ', '{"passage": "", "question": ')
        exec(compile(small, "document", "exec"), names)
    assert Path("runs/first/report.html").is_file()


@pytest.mark.parametrize("text", SMALLER)
def test_what_is_made_smaller_stands_in_the_tutorial(text):
    assert text in TUTORIAL


def smaller(text: str) -> str:
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    return text
