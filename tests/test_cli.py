import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import constants

from ensemble_uq_llm.cli import main
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_files
from ensemble_uq_llm.inference.predict import write_set
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.report.page import write_report
from ensemble_uq_llm.run import Run
from ensemble_uq_llm.utils import doctor

ROOT = Path(__file__).parents[1]
ENGINE = {"torch", "transformers", "peft", "datasets", "huggingface_hub"}
TABLES = {"numpy", "pyarrow", "sklearn", "scipy", "pandas"}

MODULES = """
import sys
from ensemble_uq_llm.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    print("exit", stop.code or 0)
print("modules", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys):
    """Run the command line in this process."""

    def call(*words):
        capsys.readouterr()
        code = None
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture
def silent_hub(monkeypatch):
    """Nothing listens where the hub should be."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return endpoint


@pytest.fixture(scope="session")
def lone_parquet(tmp_path_factory):
    """The predictions of another system: two members, twenty examples, three of them unlabelled."""
    path = tmp_path_factory.mktemp("lone") / "theirs.parquet"
    labels = tuple(None if n % 7 == 0 else n % 2 for n in range(20))
    logits_MNC = np.random.default_rng(0).normal(size=(2, 20, 2)).astype(np.float32)
    ids = tuple(f"q{n}" for n in range(20))
    write_predictions(path, Predictions(ids=ids, labels=labels, members=trained((1, 2)), logits_MNC=logits_MNC))
    return path


def imported(*words):
    """Return the exit code and the top-level modules after a command in a process of its own."""
    command = [sys.executable, "-c", MODULES, *map(str, words)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, code, modules = run.stdout.splitlines()
    return int(code.split()[1]), set(modules.split()[1:])


def digests(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["config", "--json"], ["init", "{tmp}/new.yaml"]])
def test_what_needs_no_numbers_imports_nothing_heavy(words, tmp_path):
    code, modules = imported(*(word.format(tmp=tmp_path) for word in words))
    assert code == 0
    assert not modules & (ENGINE | TABLES)


def test_evaluate_needs_no_engine(lone_parquet):
    code, modules = imported("evaluate", lone_parquet, "--draws", "100", "--json")
    assert code == 0
    assert not modules & ENGINE


def test_a_run_is_evaluated_without_the_engine(own_run):
    code, modules = imported("evaluate", own_run)
    assert code == 0
    assert not modules & ENGINE


@pytest.mark.parametrize("key", Config.model_fields)
def test_a_typo_is_told_with_file_line_and_the_right_key(cli, tmp_path, key):
    path = tmp_path / "c.yaml"
    typo = key[: len(key) // 2] + key[len(key) // 2 + 1 :]
    path.write_text(f"# first line\n{typo}: 1\n", encoding="utf-8")
    assert cli("validate", path) == (2, "", f"error: {path}:2: {typo}: unknown key; did you mean {key!r}?\n")
    answer = cli("validate", "--set", f"{typo}=1")
    assert answer.err == f"error: --set {typo}=1: {typo}: unknown key; did you mean {key!r}?\n"


@pytest.mark.parametrize("command", ["run", "train", "predict", "validate", "config", "evaluate"])
def test_every_command_tells_every_problem_at_once(cli, tmp_path, command):
    path = tmp_path / "c.yaml"
    path.write_text("num_epoch: 3\nbatch_size: 0\nseeds: [1, 1]\n", encoding="utf-8")
    answer = cli(command, path)
    assert (answer.code, answer.out) == (2, "")
    assert [line.rpartition(".yaml:")[2].partition(":")[0] for line in answer.err.splitlines()] == ["2", "1", "3"]


@pytest.mark.parametrize("override", ["num_epochs", "num_epochs:3", "", "3"])
def test_set_without_an_equals_sign(cli, override):
    assert cli("validate", "--set", override) == (2, "", f"error: --set {override}: write it as key=value\n")


def test_config_tells_where_each_value_came_from(cli, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("num_epochs: 5\n", encoding="utf-8")
    answer = cli("config", path, "--set", "lora_r=4", "--json")
    values = json.loads(answer.out)
    assert list(values) == list(Config.model_fields)
    assert values["num_epochs"] == {"value": 5, "origin": f"{path}:1"}
    assert values["lora_r"] == {"value": 4, "origin": "--set lora_r=4"}
    assert values["seeds"] == {"value": list(range(42, 52)), "origin": "default"}


def test_config_shows_brackets_as_they_are(cli):
    answer = cli("config", "--set", "prompt_template='[INST] {question} [/INST]'")
    assert answer.code == 0
    assert "[INST]" in answer.out
    assert "[/INST]" in answer.out


def test_a_run_folder_stands_for_its_configuration(cli, own_run, tmp_path):
    values = json.loads(cli("config", own_run, "--json").out)
    assert values["lora_r"] == {"value": 2, "origin": f"{own_run / 'config.yaml'}:{_line_of('lora_r', own_run)}"}
    answer = cli("validate", tmp_path)
    assert answer.code == 2
    assert answer.err.startswith(f"error: {tmp_path}: a folder without config.yaml, so not a run")


def _line_of(key, run):
    lines = (run / "config.yaml").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(f"{key}:"))


def test_a_run_folder_may_be_called_like_a_number(cli, own_run, monkeypatch):
    monkeypatch.chdir(own_run.parent)
    own_run.rename("2024")
    answer = cli("evaluate", "2024", "--json")
    assert answer.code == 0
    assert Path("2024/report.html").exists()


def test_init_writes_the_defaults_and_never_overwrites(cli, tmp_path):
    path = tmp_path / "new" / "c.yaml"
    assert cli("init", path).code == 0
    assert load_config(path) == Config()
    content = path.read_bytes()
    answer = cli("init", path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: {path}: exists already; name another file, or delete it\n"
    assert path.read_bytes() == content


def test_validate_says_what_the_configuration_amounts_to(cli, tiny_yaml, tmp_path):
    facts = json.loads(cli("validate", tiny_yaml, "--json").out)
    assert facts == {
        "valid": True,
        "members": 2,
        "prompt_columns": "question, passage",
        "cut_column": "passage",
        "train_examples": 24,
        "train_classes": "no 12 (50%), yes 12 (50%)",
        "calibration_examples": 0,
        "optimizer_steps": 3,
        "validation_examples": 24,
        "output_dir": str(tmp_path / "run"),
        "device": "CPU, 1 thread",
        "model": "llama, 2 layers of width 16",
        "validation_classes": "no 12 (50%), yes 12 (50%)",
        "test_in_training": 24,
    }
    text = cli("validate", tiny_yaml).out
    assert re.search(r"configuration\s+valid", text)
    assert re.search(r"train examples\s+24", text)


def test_warnings_are_for_people_and_leave_the_json_alone(tiny_yaml):
    command = [sys.executable, "-m", "ensemble_uq_llm", "validate", tiny_yaml, "--set", "warmup_steps=9", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["valid"] is True
    assert run.stderr.startswith("warning: warmup_steps: 9 warm-up steps, and training has 3")


def test_usage_errors_exit_2(cli, tmp_path):
    for words in (["nonsense"], ["train", "--nonsense"], ["compare"], ["evaluate", tmp_path, "--draws", "1"]):
        answer = cli(*words)
        assert (answer.code, answer.out) == (2, "")
        assert "Usage:" in answer.err
    assert cli("validate", tmp_path / "absent.yaml").code == 2


def test_bad_data_exit_3_and_name_the_line(cli, tiny_yaml, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "q", "passage": "p", "answer": "perhaps"}\n', encoding="utf-8")
    for command in ("validate", "train", "run"):
        answer = cli(command, tiny_yaml, "--set", f"train_file={bad}")
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.startswith(f"error: {bad}:1: the field 'answer' is 'perhaps'")
    assert not (tmp_path / "run").exists()


def test_nothing_to_evaluate_exits_3(cli, tiny_yaml, tmp_path):
    answer = cli("evaluate", tiny_yaml)
    assert answer.code == 3
    assert answer.err == f"error: {tmp_path / 'run'}: there are no predictions; train and predict first\n"
    answer = cli("evaluate", tmp_path / "absent.parquet")
    assert answer.code == 3
    assert answer.err.startswith(f"error: {tmp_path / 'absent.parquet'}: there is no such file or folder; name a run")


@pytest.mark.parametrize("command", ["train", "run"])
def test_when_every_member_diverges_exit_4(cli, tiny_yaml, tmp_path, command):
    answer = cli(command, tiny_yaml, "--set", "learning_rate=1e30")
    assert answer.code == 4
    assert "error: 2 of 2 members diverged (seed 42 at step " in answer.err
    assert "Lower learning_rate (now 1e+30)" in answer.err
    assert not list((tmp_path / "run").glob("seed_*"))


def test_an_altered_member_exits_5(cli, own_run):
    path = own_run / "seed_43" / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    answer = cli("predict", own_run)
    assert answer.code == 5
    assert answer.err.startswith(f"error: {path}: altered after it was written")


def test_a_torn_run_record_exits_5(cli, own_run):
    (own_run / "run.json").write_text("{", encoding="utf-8")
    answer = cli("predict", own_run)
    assert answer.code == 5
    assert f"error: {own_run / 'run.json'}: altered after it was written" in answer.err


def test_an_interrupt_exits_75(cli, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ensemble_uq_llm.commands.preflight.check", interrupt)
    assert cli("validate") == (75, "", "error: interrupted; nothing was written; run the same command again\n")


def test_a_place_that_cannot_be_written_exits_2(cli, tiny_yaml, tmp_path):
    (tmp_path / "file").touch()
    answer = cli("train", tiny_yaml, "--set", f"output_dir={tmp_path / 'file' / 'run'}")
    assert answer.code == 2
    assert answer.err.startswith(f"error: {tmp_path / 'file'}")
    assert answer.err.endswith(": a file, where a folder is to be; name another place\n")


def test_a_bug_of_ours_is_not_dressed_up(cli, monkeypatch):
    def bug(_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("ensemble_uq_llm.commands.preflight.check", bug)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        cli("validate")


def test_a_model_that_cannot_be_had_exits_2_and_says_what_to_do(cli, tiny_yaml, tmp_path, silent_hub):
    words = ["--set", "model_name=nobody/nothing", "--set", f"cache_dir={tmp_path / 'cache'}"]
    for more in ([], ["--dry-run"]):
        answer = cli("train", tiny_yaml, *words, *more)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"error: model_name: 'nobody/nothing' is not in the cache ({tmp_path / 'cache'})")
        assert f"{silent_hub} does not answer" in answer.err
        assert "give the folder of a local copy, or `embedded`" in answer.err
    assert not (tmp_path / "run").exists()


def test_members_that_are_not_trained_exit_2(cli, tiny_yaml):
    answer = cli("predict", tiny_yaml)
    assert answer.code == 2
    assert "no finished member for seed 42 (not trained) and seed 43 (not trained); train first" in answer.err


@pytest.fixture
def quick_doctor(monkeypatch):
    monkeypatch.setattr(doctor, "why_hub_is_silent", lambda: "nobody is there")


def test_doctor(cli, tmp_path, quick_doctor):
    answer = cli("doctor", tmp_path)
    assert answer.code == 0
    assert re.search(r"^disk\s+.*writable\s+ok", answer.out, re.MULTILINE | re.DOTALL)
    assert re.search(r"^hub\s+nobody is there\s*$", answer.out, re.MULTILINE)
    checks = json.loads(cli("doctor", tmp_path, "--json").out)
    assert checks["hub"] == {"finding": "nobody is there", "ok": None}
    assert checks["disk"]["ok"] is True
    assert checks["torch"]["finding"]


def test_doctor_exits_2_where_something_is_broken(cli, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda _: [doctor.Check("disk", "full", ok=False)])
    answer = cli("doctor")
    assert (answer.code, answer.out.split()) == (2, ["disk", "full", "BROKEN"])
    assert cli("doctor", "--json").code == 2


def test_predictions_of_another_system(cli, lone_parquet):
    before = list(lone_parquet.parent.iterdir())
    answer = cli("evaluate", lone_parquet, "--draws", 100, "--json")
    assert answer.code == 0
    [(name, metrics)] = json.loads(answer.out).items()
    assert (name, metrics["n"], metrics["labelled"], metrics["members"]) == ("theirs", 20, 17, 2)
    assert list(lone_parquet.parent.iterdir()) == before
    assert "theirs" in cli("evaluate", lone_parquet, "--draws", 100).out


def test_the_seed_of_the_bootstrap_counts(cli, lone_parquet):
    first, again, other = (
        cli("evaluate", lone_parquet, "--draws", 100, "--seed", seed, "--json").out for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_run_is_evaluated_with_its_own_draws_unless_others_are_given(cli, own_run):
    before = (own_run / "metrics" / "validation.json").read_bytes()
    cli("evaluate", own_run)
    assert (own_run / "metrics" / "validation.json").read_bytes() == before
    cli("evaluate", own_run, "--draws", 333)
    assert (own_run / "metrics" / "validation.json").read_bytes() != before


@pytest.mark.parametrize("as_json", [True, False])
def test_a_dry_run_writes_nothing(cli, tiny_yaml, tmp_path, as_json):
    before = sorted(tmp_path.rglob("*"))
    answer = cli("train", tiny_yaml, "--dry-run", *(["--json"] if as_json else []))
    assert (answer.code, answer.err) == (0, "")
    if as_json:
        plan = json.loads(answer.out)
        assert plan["seeds_to_train"] == [42, 43]
        assert plan["optimizer_steps"] == 3
    else:
        assert re.search(r"optimizer steps\s+3\s", answer.out)
    assert sorted(tmp_path.rglob("*")) == before


def test_run_writes_every_file_of_the_contract(cli, tiny_yaml, tmp_path):
    answer = cli("run", tiny_yaml, "--json")
    assert answer.code == 0
    run = tmp_path / "run"
    metrics = json.loads(answer.out)
    assert json.loads((run / "metrics" / "validation.json").read_bytes()) == metrics["validation"]
    assert "training 2 members jointly" in answer.err
    assert {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} == {
        "config.yaml", "run.json", "events.jsonl", "report.html", "manifest.json",
        "seed_42/adapter_config.json", "seed_42/adapter_model.safetensors", "seed_42/member.json",
        "seed_43/adapter_config.json", "seed_43/adapter_model.safetensors", "seed_43/member.json",
        "predictions/validation.parquet", "predictions/validation.examples.jsonl",
        "uncertainty/validation.csv", "scores/validation.csv", "metrics/validation.json",
    }  # fmt: skip
    assert load_config(run / "config.yaml") == load_config(tiny_yaml)


def test_the_record_of_a_run(finished_run):
    record = json.loads((finished_run / "run.json").read_bytes())
    train, predict = record["stages"]
    assert (train["stage"], train["seeds"]) == ("train", [42, 43])
    assert (predict["stage"], predict["name"], predict["examples"], predict["members"]) == (
        "predict", "validation", 24, 2
    )  # fmt: skip
    for key in ("data_digest", "base_digest"):
        assert re.fullmatch(r"[0-9a-f]{64}", train[key])
    assert {"python", "torch", "transformers", "peft"} <= set(record["versions"])
    assert "git_commit" in record


def test_the_events_of_a_run(finished_run):
    events = [json.loads(line) for line in (finished_run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["event"] for event in events] == ["Started", *["Stepped"] * 3, "EpochEnded", "Ended"]


def test_the_predictions_of_a_run(finished_run):
    table = pq.read_table(finished_run / "predictions" / "validation.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string", "label": "int64", "seed": "int64", "logit_0": "float", "logit_1": "float",
    }  # fmt: skip
    assert table.column_names == ["id", "label", "seed", "logit_0", "logit_1"]
    assert table.num_rows == 2 * 24


def test_the_uncertainties_of_a_run(finished_run):
    with (finished_run / "uncertainty" / "validation.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert ",".join(header) == (
        "id,label,prediction,confidence,p_0,p_1,variance,entropy,expected_entropy,mutual_information,disagreement"
    )
    assert [row[0] for row in rows] == [f"row {index}" for index in range(24)]


def test_the_metrics_of_a_run(finished_run):
    metrics = json.loads((finished_run / "metrics" / "validation.json").read_bytes())
    assert (metrics["n"], metrics["members"]) == (24, 2)
    headline = {"accuracy", "auc", "average_precision", "nll", "brier", "ece"}
    assert set(metrics["ensemble"]) > headline
    assert set(metrics["members_mean"]) == headline
    for name in headline:
        estimate = metrics["ensemble"][name]
        assert {"value", "ci95"} <= set(estimate) <= {"value", "ci95", "noise_floor", "debiased"}
        low, high = estimate["ci95"]
        assert low <= high
        assert set(metrics["members_mean"][name]) == {"value"}
    assert set(metrics["uncertainty"]) >= {
        "average_entropy", "average_expected_entropy", "average_mutual_information", "average_variance",
    }  # fmt: skip


def test_the_report_of_a_run_needs_no_network(finished_run):
    report = (finished_run / "report.html").read_text(encoding="utf-8")
    assert report.lstrip().lower().startswith("<!doctype html>")
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", report)


def test_members_are_added_later_without_touching_the_first(cli, tiny_yaml, tmp_path):
    run = tmp_path / "run"
    assert cli("train", tiny_yaml, "--set", "num_ensemble_models=1").code == 0
    first = digests(run / "seed_42")
    answer = cli("train", tiny_yaml, "--json")
    assert json.loads(answer.out) == {"output_dir": str(run), "members": ["seed_42", "seed_43"]}
    assert digests(run / "seed_42") == first
    both = digests(run / "seed_43")
    assert cli("train", tiny_yaml).code == 0
    assert digests(run / "seed_43") == both


def test_a_member_is_its_seed_and_not_its_company(cli, tiny_yaml, tmp_path, finished_run):
    run = tmp_path / "alone"
    assert cli("train", tiny_yaml, "--set", "seeds=[43]", "--set", f"output_dir={run}").code == 0
    ours, theirs = (json.loads((each / "seed_43" / "member.json").read_bytes()) for each in (run, finished_run))
    assert ours.pop("final_train_loss") == pytest.approx(theirs.pop("final_train_loss"), rel=1e-5)
    assert ours["settings"] == theirs["settings"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("learning_rate=1e-3", "learning_rate: 0.0002 there, 0.001 now"),
        ("lora_r=4", "lora_r: 2 there, 4 now"),
        ("max_train_examples=20", "the training data differ"),
    ],
)
def test_members_made_differently_are_not_mixed(cli, own_run, override, told):
    before = digests(own_run)
    answer = cli("train", own_run, "--set", "seeds=[42, 43, 44]", "--set", override)
    assert answer.code == 2
    assert answer.err.startswith(
        f"error: output_dir: {own_run} holds the member of seed 42, made differently:\n  {told}\n"
    )
    assert digests(own_run) == before


def test_predictions_of_a_file(cli, own_run, tiny_data):
    answer = cli("predict", own_run, "--data", tiny_data, "--name", "others", "--json")
    assert answer.code == 0
    assert json.loads(answer.out) == {"predictions": [str(own_run / "predictions" / "others.parquet")]}
    answer = cli("predict", own_run, "--data", tiny_data, "--evaluate", "--json")
    assert list(json.loads(answer.out)) == ["validation", "others", "questions"]
    assert "shift" in json.loads(answer.out)["questions"]


@pytest.mark.parametrize("words", [["--name", "x"], ["--name", "x", "--data", "a.jsonl", "--data", "b.jsonl"]])
def test_one_name_is_for_one_set(cli, own_run, words):
    answer = cli("predict", own_run, *words)
    assert (answer.code, answer.out) == (2, "")
    assert "--name: names one set" in answer.err


def test_members_from_other_folders(cli, own_run):
    answer = cli("predict", own_run, "--adapter", own_run / "seed_43", "--evaluate", "--json")
    assert json.loads(answer.out)["validation"]["member_ids"] == [{"seed": 43}]
    answer = cli("predict", own_run, "--adapter", own_run / "metrics")
    assert answer.code == 5
    assert "is not a PEFT adapter folder" in answer.err


def test_members_from_other_folders_in_a_folder_of_their_own(cli, own_run, tmp_path):
    """The command that comes next works, and classes and data have their names."""
    words = ["predict", own_run, "--set", f"output_dir={tmp_path / 'theirs'}", "--adapter", own_run / "seed_43"]
    answer = cli(*words)
    assert f"next: ensemble-uq evaluate {tmp_path / 'theirs'}" in answer.out
    assert cli("evaluate", tmp_path / "theirs").code == 0
    assert cli("verify", tmp_path / "theirs").code == 0
    found = json.loads((tmp_path / "theirs/metrics/validation.json").read_text())
    ours = yaml.safe_load((own_run / "config.yaml").read_text())
    assert found["protocol"]["base"] == Path(ours["model_name"]).name
    assert found["protocol"]["evaluated_on"] == Path(ours["validation_file"]).name
    assert found["protocol"]["adapters"] == "given"
    assert "trained_on" not in found["protocol"]
    assert cli(*words, "--set", "max_length=256").code == 0
    assert yaml.safe_load((tmp_path / "theirs/config.yaml").read_text())["max_length"] == 256


@pytest.fixture
def door(tmp_path):
    """Run a command in the repository's root as a user would, the interpreter's folder in front of the path."""

    def call(*words):
        folder = str(Path(sys.executable).parent)
        environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
        command = list(map(str, words))
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run

    return call


@pytest.mark.parametrize(("script", "door"), [("train_models.sh", "train.sh"), ("run_inference.sh", "infer.py")])
def test_the_scripts_go_through_the_doors_in_front(script, door):
    assert (ROOT / "scripts" / script).read_text(encoding="utf-8").endswith(f'exec sh {door} "$@"\n')


def test_scripts_train(door, tiny_yaml, tmp_path):
    run = door("sh", "scripts/train_models.sh", tiny_yaml)
    assert f"2 members in {tmp_path / 'run'}" in run.stdout.replace("\n", " ")
    assert (tmp_path / "run" / "seed_43" / "adapter_model.safetensors").exists()


def test_main_trains_one_member(door, tiny_yaml, tmp_path):
    door("python", "main.py", "train", "--config", tiny_yaml, "--seed", "43")
    assert [path.name for path in (tmp_path / "run").glob("seed_*")] == ["seed_43"]


@pytest.mark.parametrize(
    "words",
    [["sh", "scripts/run_inference.sh"], ["python", "infer.py"], ["python", "main.py", "inference", "--config"]],
    ids=" ".join,
)
def test_doors_that_predict(door, tiny_yaml, tmp_path, finished_run, words):
    run = shutil.copytree(finished_run, tmp_path / "run")
    for name in ("predictions", "uncertainty", "metrics"):
        shutil.rmtree(run / name)
    (run / "report.html").unlink()
    answer = door(*words, tiny_yaml)
    assert "24 examples, 2 members" in answer.stdout
    expected = ["predictions/validation.parquet", "uncertainty/validation.csv", "metrics/validation.json"]
    assert all((run / name).exists() for name in [*expected, "report.html"])


def test_json_of_a_whole_process_is_pure(door, tiny_yaml):
    run = door("ensemble-uq", "run", tiny_yaml, "--json")
    assert json.loads(run.stdout)["validation"]["n"] == 24
    assert "Traceback" not in run.stderr


@pytest.fixture
def at_home(own_run, tiny_data, monkeypatch):
    """A home folder with a run, data and predictions; `~` leads there, and the working folder is another."""
    home = own_run.parent / "home"
    home.mkdir()
    shutil.copytree(own_run, home / "run")
    shutil.copy(own_run / "predictions" / "validation.parquet", home / "mine.parquet")
    shutil.copy(tiny_data, home / "data.jsonl")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home


@pytest.mark.parametrize(
    "words",
    [
        "config ~/run",
        "validate ~/run --set train_file=~/data.jsonl --set output_dir=~/new",
        "evaluate ~/run --draws 100",
        "evaluate ~/mine.parquet --draws 100 --shift far=~/mine.parquet --output=~/results",
        "report ~/run",
        "compare ~/run ~/mine.parquet --draws 100",
        "predict ~/run --data=~/data.jsonl --name again",
        "predict ~/run --adapter=~/run/seed_42 --set output_dir=~/foreign",
        "init ~/written.yaml",
    ],
)
def test_the_home_folder_is_known_in_every_path(cli, at_home, words):
    answer = cli(*words.split())
    assert answer.code == 0, answer.err
    assert "~" not in answer.out.partition("next: ")[0]
    assert not Path("~").exists()


def test_python_callers_are_at_home_too(at_home):
    run = Run("~/run")
    assert run.folder == at_home / "run"
    assert set(run.predict("~/data.jsonl")) == {"data"}
    assert set(evaluate_files("~/mine.parquet", shifts={"far": "~/mine.parquet"}, draws=0)) == {"mine", "far"}
    assert write_report(evaluated_to("~/out")).exists()
    assert load_predictions("~/mine.parquet").labels
    assert load_config(None, ["output_dir=~/x", "cache_dir=~/y"]).cache_dir == at_home / "y"
    assert Config(train_file="~/data.jsonl", validation_file="~/data.jsonl").train_file.exists()
    with pytest.raises(ConfigError, match="validation_file: must not begin with ~ where there is no such user"):
        Config(train_file="~/data.jsonl", validation_file="~nobody-of-this-name/x")


def evaluated_to(output):
    evaluate_files("~/mine.parquet", output=output, draws=0)
    return output


def test_every_stage_says_what_comes_next(cli, tiny_yaml, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"

    def following(*words):
        answer = cli(*words)
        assert answer.code == 0, answer.err
        return answer.out.splitlines()[-1].removeprefix("next: ensemble-uq ")

    assert following("init", "new.yaml") == "validate new.yaml"
    assert following("validate", tiny_yaml, "--set", "seeds=[42]") == f"train {tiny_yaml} --set 'seeds=[42]'"
    assert following("train", tiny_yaml, "--dry-run") == f"train {tiny_yaml}"
    assert following("train", tiny_yaml) == f"predict {run}"
    assert following("predict", run) == f"evaluate {run}"
    assert following("evaluate", run) == f"report {run} --format markdown"


def test_the_configuration_that_lies_here_is_taken_and_said(cli, tiny_yaml, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert cli("config", "--json").err == ""
    shutil.copy(tiny_yaml, "config.yaml")
    answer = cli("config", "--json")
    assert answer.err == "configuration: ./config.yaml\n"
    assert json.loads(answer.out)["seeds"] == {"value": [42, 43], "origin": f"config.yaml:{3 + 1}"}
    assert cli("config", tiny_yaml, "--json").err == ""


def test_what_can_be_predicted_is_named(cli, own_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli("predict", own_run, "--data", "nope")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == "error: data: 'nope' is neither a file here nor a set; the sets are 'validation', 'train'\n"
    (tmp_path / "nope.jsonl").touch()
    assert "did you mean 'nope.jsonl'?" in cli("predict", own_run, "--data", "nope").err


def test_an_interrupted_training_keeps_nothing_and_says_so(cli, tiny_yaml, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ensemble_uq_llm.training.epochs.train_step", interrupt)
    answer = cli("train", tiny_yaml)
    assert answer.code == 75
    assert "error: interrupted; nothing was finished, so nothing is kept; continue with: " in answer.err
    assert not list((tmp_path / "run").glob("seed_*"))
    monkeypatch.undo()
    assert cli("train", tiny_yaml).code == 0


def test_an_interrupted_prediction_names_the_sets_that_are_written(cli, own_run, tiny_data, monkeypatch):
    calls = []

    def second_interrupts(*arguments, **more):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return write_set(*arguments, **more)

    monkeypatch.setattr("ensemble_uq_llm.pipeline.write_set", second_interrupts)
    answer = cli("predict", own_run, "--data", tiny_data, "--data", "validation")
    assert answer.code == 75
    assert f"kept in {own_run}: the predictions of {tiny_data.stem}; continue with: " in answer.err
