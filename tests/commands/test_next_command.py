import shlex
from pathlib import Path

import pytest

from ensemble_uq_llm.commands.next_command import as_typed, say_next


@pytest.mark.parametrize("path", ["run", "my run", "it's", "größe", "$HOME/x", "~/x"])
def test_a_shell_reads_the_words_back(path):
    typed = as_typed("train", path, overrides=["seeds=[1, 2]", "prompt_template={a} & {b}"])
    assert shlex.split(typed) == [
        "ensemble-uq", "train", path, "--set", "seeds=[1, 2]", "--set", "prompt_template={a} & {b}",
    ]  # fmt: skip


@pytest.mark.parametrize(("path", "typed"), [("-dash", "./-dash"), ("--set", "./--set"), ("-a b", "'./-a b'")])
def test_a_path_is_no_option(path, typed):
    assert as_typed("predict", Path(path), "--output", Path(path)) == f"ensemble-uq predict {typed} --output {typed}"


def test_it_is_one_line_in_any_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    say_next("evaluate", "a/long/path/that/does/not/fit", "--output", "results")
    assert capsys.readouterr().out == "next: ensemble-uq evaluate a/long/path/that/does/not/fit --output results\n"
