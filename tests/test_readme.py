"""The README names every file, and its commands exist."""

import re
from pathlib import Path

from typer.main import get_command

from ensemble_uq_llm.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_file_has_its_line_in_the_readme() -> None:
    package = ROOT / "src" / "ensemble_uq_llm"
    modules = [str(path.relative_to(package)) for path in package.rglob("*.py") if not path.name.startswith("__")]
    others = [
        str(path.relative_to(ROOT)) for folder in ("benchmarks", "tools", "scripts", "configs")
        for path in (ROOT / folder).iterdir() if path.is_file()
    ]  # fmt: skip
    assert [name for name in modules + others if f"`{name}`" not in README] == []


def test_the_readme_names_no_file_that_is_gone() -> None:
    package = ROOT / "src" / "ensemble_uq_llm"
    named = re.findall(r"^\| (.*?) \|", README.partition("## Every file")[2], flags=re.MULTILINE)
    paths = [path for cell in named for path in re.findall(r"`([^`]+)`", cell)]
    assert len(paths) > 50
    assert [path for path in paths if not (package / path).exists() and not (ROOT / path).exists()] == []


def test_every_command_is_in_the_readme_and_the_other_way_round() -> None:
    commands = set(get_command(app).commands)
    assert set(re.findall(r"^\| `ensemble-uq (\w+)", README, flags=re.MULTILINE)) == commands
