"""Fixtures of the whole suite: the shared data where they are, a hub on the loopback interface, rounds of faults."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# One thread a process, here and in the processes that tests start: the suite itself runs on every core, and
# threads that wait for each other on busy cores take a hundred times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hub_content import all_repos, tiny_llama_files
from hub_server import HubServer

settings.register_profile("house", deadline=None)  # how busy the machine is says nothing about the code
settings.load_profile("house")

TINY_YAML = """\
model_name: {base}
train_file: {data}
validation_file: {data}
seeds: [42, 43]
num_epochs: 1
batch_size: 8
gradient_accumulation_steps: 1
warmup_steps: 0
lora_r: 2
lora_alpha: 4
bootstrap_draws: 100
output_dir: {run}
use_bf16: false
device: cpu
tokens_per_pass: 1024
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make stress`."""
    parser.addoption("--stress", action="store_true", help="Run the tests of faults in their long form.")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often a test of faults repeats itself: `rounds(short, long)`; the long form is `make stress`."""
    return lambda short, long: long if request.config.getoption("--stress") else short


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tell what a test of faults has counted, as a line of the stress run's summary: `tally("300 of 300 ...")`."""
    return lambda line: record_property("tally", line)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show what the tests of faults have counted, of the long form only."""
    if not config.getoption("--stress"):
        return
    terminalreporter.section("faults")
    for report in [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]:
        for name, line in report.user_properties:
            if name == "tally":
                terminalreporter.write_line(f"{report.outcome:6} {report.nodeid.rpartition('::')[2]}: {line}")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: `call("report", folder)` is its exit code and both streams."""
    from ensemble_uq_llm.cli import main

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def fast_folder() -> Iterator[Path]:
    """An empty folder, in memory where that is to be had, for tests that write thousands of files; it is removed."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None)).resolve()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of shared real data beside the checkout; a test that needs it is skipped without it."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the shared real data in {folder}")
    return folder


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hugging Face hub on 127.0.0.1; see `hub_content.all_repos` for what it holds."""
    with HubServer(all_repos()) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random LLaMA of two layers with its tokenizer."""
    folder = tmp_path_factory.mktemp("base") / "tiny-llama"
    folder.mkdir()
    for name, content in tiny_llama_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four labelled questions as JSONL."""
    return _write_questions(tmp_path_factory.mktemp("data") / "questions.jsonl", range(24))


@pytest.fixture(scope="session")
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four other questions of the same kind."""
    return _write_questions(tmp_path_factory.mktemp("data") / "others.jsonl", range(24, 48))


def _write_questions(path: Path, numbers: range) -> Path:
    rows = [
        {
            "id": f"row {index}",
            "question": f"is {index} even",
            "passage": f"The number {index} is {'odd' if index % 2 else 'even'}.",
            "answer": index % 2 == 0,
        }
        for index in numbers
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def tiny_yaml(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> Path:
    """The configuration of the smallest run: two members, one epoch, `tmp_path / "run"`."""
    return _write_tiny_yaml(tmp_path, tiny_base, tiny_data)


@pytest.fixture(scope="session")
def finished_run(tiny_base: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `tiny_yaml`, trained, predicted, evaluated; tests that change it use `own_run`."""
    from rich.console import Console

    from ensemble_uq_llm.config_file import load_config
    from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_run
    from ensemble_uq_llm.pipeline import run_all
    from ensemble_uq_llm.report.page import write_report
    from ensemble_uq_llm.run_folder import RunFolder

    config = load_config(_write_tiny_yaml(tmp_path_factory.mktemp("finished"), tiny_base, tiny_data))
    assert run_all(config, console=Console(quiet=True)) is None
    folder = RunFolder(config.output_dir)
    evaluate_run(folder, draws=config.bootstrap_draws)
    write_report(folder)
    return folder.root


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change."""
    return shutil.copytree(finished_run, tmp_path / "own")


def _write_tiny_yaml(folder: Path, base: Path, data: Path) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(TINY_YAML.format(base=base, data=data, run=folder / "run"), encoding="utf-8")
    return path
