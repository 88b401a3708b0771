"""The project's documents, and what stands in them: code blocks, links, commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("src/**/*.md")]
}
"""Every Markdown file of the project, by its path."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, *languages: str) -> list[tuple[str, str]]:
    """Return the language and content of the fenced blocks of these languages, in their order."""
    return [(language, content) for language, content in _BLOCK.findall(text) if language in languages]


def without_blocks(text: str) -> str:
    return _BLOCK.sub("", text)


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE)}


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next of its level or above."""
    level, _, _ = heading.partition(" ")
    _, found, rest = f"\n{text}".partition(f"\n{heading}\n")
    assert found, f"there is no {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every `ensemble-uq COMMAND ...` in blocks and inline, comments left out."""
    shown = [line for _, block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    shown += re.findall(r"`([^`]+)`", without_blocks(text).replace("\n", " "))
    for line in shown:
        words = shlex.split(line, comments=True) if line.startswith("ensemble-uq ") else []
        if len(words) > 1 and not words[1].startswith("-"):
            yield words[1:]


def first_cells(table: str) -> list[str]:
    """Return what stands in backticks in the first cell of a table's rows."""
    cells = re.findall(r"^\| (.*?) \|", table, flags=re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
