"""Whatever a model or adapter folder holds, none of it runs: in every place of it, by every command that reads one."""

import ast
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from hostile_folders import AUTO_MAP, CASES, Folders, Watch

import ensemble_uq_llm
from ensemble_uq_llm.cli import main

WATCH = Watch()
COMMANDS: dict[str, Callable[[Folders], list[str]]] = {
    "validate": lambda _: ["validate"],
    "predict": lambda folders: ["predict", "--adapter", str(folders.adapter)],
    "dry run": lambda _: ["train", "--dry-run"],
    "train": lambda _: ["train"],
}
FINE = (0, 2, 3, 5)


@pytest.fixture
def folders(tmp_path, finished_run) -> Folders:
    return Folders(tmp_path, finished_run / "seed_42")


@pytest.fixture
def yaml(folders, tiny_data, tmp_path) -> Path:
    """A configuration of the least work on the folders' base."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"model_name: {folders.base}\ntrain_file: {tiny_data}\nvalidation_file: {tiny_data}\nseeds: [42]\n"
        f"num_epochs: 1\nbatch_size: 24\nlora_r: 2\nuse_bf16: false\ndevice: cpu\noutput_dir: {tmp_path / 'run'}\n"
    )
    return path


def outcome(arguments: list[str]) -> int:
    """Return the exit code of a command; what is no error of the user's is raised."""
    try:
        main(arguments)
    except SystemExit as exit_:
        return exit_.code or 0
    return 0


def commands_of(case: str, rounds: Callable[[int, int], int]) -> list[str]:
    """Every command in the long form; in the short one validation and another by turns, or prediction for adapters."""
    if rounds(0, 1):
        return [*COMMANDS]
    if case.startswith("adapter"):
        return ["predict"]
    return ["validate", ("dry run", "predict", "train")[[*CASES].index(case) % 3]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_nothing_of_a_folder_runs(folders, yaml, capsys, rounds, case):
    CASES[case](folders)
    for name in commands_of(case, rounds):
        command, *options = COMMANDS[name](folders)
        with WATCH.over(folders.base.parent) as found:
            code = outcome([command, str(yaml), *options])
        printed = capsys.readouterr()
        assert code in FINE, printed.err
        assert found == []
        assert not folders.trace.exists()
        assert "Traceback" not in printed.err
        assert "trust_remote_code=True" not in printed.err


def test_there_are_fifty_places(tally):
    tally(f"{len(CASES)} of {len(CASES)} places by {len(COMMANDS)} commands: nothing ran, nothing was asked")
    assert len(CASES) >= 50


# The detectors: each must see what a planted execution does.


@pytest.fixture
def own_modules(tmp_path, monkeypatch) -> None:
    """Keep the code that transformers copies out of the user's cache."""
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [str(tmp_path / "modules")])


@pytest.mark.usefixtures("own_modules")
def test_the_trace_and_the_hook_tell_of_code_that_runs(folders):
    folders.config(auto_map=AUTO_MAP)
    with WATCH.over(folders.base.parent) as found, pytest.raises(AttributeError, match="register_for_auto_class"):
        transformers.AutoConfig.from_pretrained(str(folders.base), trust_remote_code=True)
    assert folders.trace.exists()
    assert any(re.fullmatch(r"opened .*own\.py", each) for each in found)


@pytest.mark.usefixtures("own_modules")
def test_the_hook_tells_of_a_question(folders, monkeypatch):
    monkeypatch.setattr(transformers.dynamic_module_utils, "TIME_OUT_REMOTE_CODE", 15)
    folders.config(auto_map=AUTO_MAP, model_type="own")
    with WATCH.over(folders.base.parent) as found, pytest.raises((ValueError, AttributeError)):
        transformers.AutoConfig.from_pretrained(str(folders.base))
    assert folders.trace.exists(), "the answer was y"
    assert "the standard input was read" in found


def test_the_trace_and_the_hook_tell_of_pickles(folders):
    folders.saved_by_torch(folders.base / "evil.bin")
    with WATCH.over(folders.base.parent) as found, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(folders.base / "evil.bin", weights_only=False)
    assert folders.trace.exists()
    assert any(each.startswith("opened ") for each in found)


# The source: no call leaves the question open.


def open_questions(source: str) -> list[str]:
    """Return the calls of transformers' automatic classes that do not say `trust_remote_code=False`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        ast.unparse(call.func)
        for call in calls
        if re.fullmatch(r"(transformers\.)?Auto\w+\.from_(pretrained|config)", ast.unparse(call.func))
        and not any(each.arg == "trust_remote_code" and ast.unparse(each.value) == "False" for each in call.keywords)
    ]


def test_every_call_of_an_automatic_class_refuses_code():
    sources = [path.read_text() for path in Path(ensemble_uq_llm.__file__).parent.rglob("*.py")]
    assert [call for source in sources for call in open_questions(source)] == []
    assert sum(source.count("trust_remote_code=False") for source in sources) >= 5


def test_a_call_that_leaves_it_open_is_found():
    assert open_questions("AutoModel.from_config(config)") == ["AutoModel.from_config"]
    assert open_questions("transformers.AutoConfig.from_pretrained(x, trust_remote_code=trust)") != []
