"""What works without the engine: every command and the Python API, in processes that cannot import it."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.utils.extras import LIBRARIES
from small_predictions import predicted

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ensemble_uq_llm"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {"yaml": "pyyaml", "huggingface_hub": "huggingface-hub", "pydantic_core": "pydantic-core"}
"""Where a module is not called like the distribution that brings it."""

WITHOUT_ENGINE = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted({each for libraries in LIBRARIES.values() for each in libraries})!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""

ROW = {"question": "is it", "passage": "It is.", "answer": True}


def python(code, *words, cwd, check=True):
    command = [sys.executable, "-c", WITHOUT_ENGINE + code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=check)


def command(*words, cwd):
    return python("from ensemble_uq_llm.cli import main\nmain(sys.argv[1:])", *words, cwd=cwd, check=False)


@pytest.fixture
def place(tmp_path):
    for name, seed in (("mine", 0), ("other", 1)):
        write_predictions(tmp_path / f"{name}.parquet", predicted(seed=seed))
    rows = [ROW | {"question": f"is it {number}", "answer": number % 2 == 0} for number in range(6)]
    for name, some in (("data", rows[:4]), ("test", rows[4:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in some), encoding="utf-8")
    (tmp_path / "config.yaml").write_text("train_file: data.jsonl\nvalidation_file: test.jsonl\nwarmup_steps: 0\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("--version", r"^ensemble-uq \d+\.\d+\.\d+$"),
        ("--help", "Usage:"),
        ("evaluate mine.parquet --draws 100 --output out", r"mine\s+60 examples, 3 members"),
        ("compare mine.parquet other.parquet --draws 100", "B: other.parquet"),
        ("validate config.yaml", r"not checked\s+model, tokens"),
        ("config config.yaml --json", '"learning_rate"'),
        ("init new.yaml", "wrote new.yaml"),
        ("train --help", "--dry-run"),
    ],
)
def test_a_command_that_needs_no_engine(place, words, shown):
    answer = command(*words.split(), cwd=place)

    assert (answer.returncode, answer.stderr) == (0, "")
    assert re.search(shown, answer.stdout)


def test_validate_sees_what_it_can(place):
    (place / "model").mkdir()
    (place / "model" / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 2}')
    overrides = ["--set", "model_name=./model", "--set", "lora_layers=[1, 2]", "--set", "batch_size=0"]
    answer = command("validate", "config.yaml", *overrides, cwd=place)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == (
        "error: --set batch_size=0: batch_size: must be greater than or equal to 1, found 0\n"
        "lora_layers: [2] asked for, and the model has layers 0 to 1\n"
    )
    assert "there is no folder ./modell" in command("validate", "--set", "model_name=./modell", cwd=place).stderr


def test_the_report_of_an_evaluation(place):
    command("evaluate", "mine.parquet", "--draws", 100, "--output", "out", cwd=place)
    (place / "out" / "report.html").unlink()

    assert command("report", "out", cwd=place).returncode == 0
    assert (place / "out" / "report.html").exists()


def test_a_run_is_evaluated_and_reported(own_run):
    for name in ("evaluate", "report"):
        answer = command(name, own_run, cwd=own_run)
        assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize(
    "words", ["train config.yaml", "train config.yaml --dry-run", "predict config.yaml", "run config.yaml", "demo"]
)
def test_a_command_that_needs_the_engine_names_the_extra(place, words):
    answer = command(*words.split(), cwd=place)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert re.fullmatch(
        r"error: \w+ is not installed, and this needs it; install what brings it: "
        r"pip install 'ensemble-uq-llm\[train\]'\n",
        answer.stderr,
    )
    assert not (place / "runs").exists()


def test_doctor_says_what_is_absent_and_what_brings_it(tmp_path):
    # The distributions are there, so their versions are still found; here nothing is.
    hidden = "from importlib import metadata\nfrom ensemble_uq_llm.utils import provenance\n"
    hidden += "provenance.versions = lambda: {'python': '3'}\n"
    answer = python(hidden + "from ensemble_uq_llm.cli import main\nmain(['doctor', '--json'])", cwd=tmp_path)
    checks = json.loads(answer.stdout)

    brings = "not installed; pip install 'ensemble-uq-llm[train]' brings it"
    assert checks["torch"] == checks["datasets"] == {"finding": brings, "ok": None}
    assert checks["device"]["finding"].startswith("none to train or predict on")
    assert checks["hub"] == {"finding": "not asked: huggingface_hub is not installed", "ok": None}
    assert checks["disk"]["ok"] is True


EVERY_NAME = """
import ensemble_uq_llm
for name in ensemble_uq_llm.__all__:
    getattr(ensemble_uq_llm, name)
"""

USE = """
from ensemble_uq_llm import *
from ensemble_uq_llm.errors import MissingExtraError

evaluation = evaluate(Predictions.from_arrays(probs=[0.2, 0.9, 0.6], labels=[0, 1, 0]), draws=0)
assert len(evaluation.predictions.ids) == 3
run = Run(sys.argv[1])
assert run.evaluate(draws=100).keys() == run.metrics.keys() == {"validation"}
assert run.report().exists()
assert len(run.predictions().members) == len(run.members) == 2
needing = {
    "train": lambda: train("config.yaml"), "predict": lambda: predict(run), "run.predict": run.predict,
    "classifier": run.classifier, "from_pretrained": lambda: EnsembleClassifier.from_pretrained(run),
    "to_frame": run.predictions().to_frame,
}
for name, call in needing.items():
    try:
        call()
    except MissingExtraError as error:
        print(name, str(error).rpartition(" ")[2])
"""


def test_the_python_api(place, own_run):
    python(EVERY_NAME, cwd=place)
    printed = python(USE, own_run, cwd=place).stdout.splitlines()

    train = "'ensemble-uq-llm[train]'"
    assert printed == [
        f"train {train}", f"predict {train}", f"run.predict {train}", f"classifier {train}",
        f"from_pretrained {train}", "to_frame 'ensemble-uq-llm[pandas]'",
    ]  # fmt: skip


def named(requirements):
    return {re.match(r"[\w-]+", each)[0].lower() for each in requirements} - {"ensemble-uq-llm"}


def imported():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            yield from (module.partition(".")[0] for module in modules)


def test_every_import_is_declared_and_every_declaration_imported():
    foreign = set(imported()) - sys.stdlib_module_names - {"ensemble_uq_llm"} | {"tensorboard"}  # torch's writer's
    extras = PROJECT["optional-dependencies"]
    declared = named(PROJECT["dependencies"]).union(*(named(extras[extra]) for extra in LIBRARIES))

    assert {DISTRIBUTIONS.get(module, module) for module in foreign} == declared


@pytest.mark.parametrize("extra", LIBRARIES)
def test_the_extras_are_those_of_the_project(extra):
    brought = {DISTRIBUTIONS.get(module, module) for module in LIBRARIES[extra]}

    assert brought == named(PROJECT["optional-dependencies"][extra])


def test_the_requirements_pin_everything_and_end_with_the_package():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines[:-1])
    extras = PROJECT["optional-dependencies"]

    assert lines[-1] == "."
    assert set(pinned) == named(PROJECT["dependencies"]) | named(extras["train"]) | named(extras["gguf"])
    assert pinned["torch"] == metadata.version("torch").partition("+")[0]
