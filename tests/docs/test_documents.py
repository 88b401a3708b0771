"""What the documents name exists: files, headings, commands, options, keys, and names to import."""

import ast
import re
import tomllib
from itertools import pairwise

import pytest
import yaml
from typer.main import get_command

import ensemble_uq_llm
from documents import DOCUMENTS, ROOT, anchors, blocks, commands, first_cells, without_blocks
from ensemble_uq_llm.cli import app
from ensemble_uq_llm.config import Config

OPTIONS = {
    name: {option for parameter in command.params for option in parameter.opts}
    for name, command in get_command(app).commands.items()
}
README_WORDS = 1250


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_resolve(document):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(DOCUMENTS[document])):
        if target.startswith(("https://", "http://")):
            continue
        file, _, heading = target.partition("#")
        path = ((ROOT / document).parent / file).resolve() if file else ROOT / document
        if not path.exists() or (heading and heading not in anchors(path.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_options_and_keys_exist(document):
    for command, *words in commands(DOCUMENTS[document]):
        assert command in OPTIONS, f"ensemble-uq {command}"
        unknown = {word for word in words if word.startswith("--")} - OPTIONS[command]
        assert unknown == set(), f"ensemble-uq {command}"
        keys = {after.partition("=")[0] for before, after in pairwise(words) if before == "--set"}
        assert keys - {"KEY"} <= set(Config.model_fields), f"ensemble-uq {command}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_keys_in_yaml_exist(document):
    for _, block in blocks(DOCUMENTS[document], "yaml"):
        assert set(yaml.safe_load(block)) - set(Config.model_fields) == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_compiles_and_imports_what_is_public(document):
    for _, block in blocks(DOCUMENTS[document], "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "ensemble_uq_llm":
                assert {alias.name for alias in node.names} - set(ensemble_uq_llm.__all__) == set()


def test_the_readme_is_short():
    """Words outside of code blocks; those in tables count."""
    assert len(without_blocks(DOCUMENTS["README.md"]).split()) <= README_WORDS


def test_nothing_promises_one_pass():
    """A step of all members is one pass only where that fits its token budget."""
    description = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["description"]
    command = get_command(app)
    helps = [description, *(each.help for each in (command, *command.commands.values()))]
    assert [text for text in helps if re.search(r"(one|single) pass", text)] == []
    assert description == command.help


def test_every_command_is_in_the_readme():
    table = [name for name in first_cells(DOCUMENTS["README.md"]) if name.startswith("ensemble-uq ")]
    assert {name.removeprefix("ensemble-uq ") for name in table} == set(OPTIONS)
    assert len(table) == len(OPTIONS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_interval_is_said_to_predict(document):
    """They are confidence intervals: of other samples they hold fewer than 95%."""
    assert not re.search(r"would lie on (other|further|new) examples", DOCUMENTS[document])
