import re
import shlex

import pytest
from typer.main import get_command

from ensemble_uq_llm import errors
from ensemble_uq_llm.cli import app, main
from ensemble_uq_llm.commands.help_pages import EXIT_CODES, epilog, examples

COMMANDS = get_command(app).commands


@pytest.mark.parametrize("words", examples())
def test_every_example_is_one_that_the_command_line_takes(words):
    name, *arguments = shlex.split(words)
    assert COMMANDS[name].make_context(name, list(arguments)).params


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_shows_examples_and_exit_codes(capsys, monkeypatch, name, option):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit, match="0"):
        main([name, option])
    shown = capsys.readouterr().out
    assert f"  ensemble-uq {name}" in shown
    assert re.search(r"^ +75 +interrupted", shown, re.MULTILINE)
    assert "Usage: ensemble-uq" in shown
    assert epilog(name).startswith("\b\nExamples:\n")


def test_every_error_has_its_exit_code_explained():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert {kind.exit_code for kind in kinds} | {0} == set(EXIT_CODES)


def test_completion_is_offered():
    assert {"--install-completion", "--show-completion"} <= {
        option for parameter in get_command(app).params for option in parameter.opts
    }
