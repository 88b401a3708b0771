"""Which rows of a file are used: drawn by a fixed seed, and BoolQ's apart by whether their passage was trained on."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.utils.files import write_text

SEED: Final = 0
"""Of every choice of rows."""


def draw_rows(source: Path, most: int | None, target: Path) -> Path:
    """Write so many rows of a file of JSON lines, drawn without replacement, in their order; all where None.

    The target's name gets the number of rows, so that rows of another number are another file.

    Returns:
        The file, which is left alone where it is there already.
    """
    lines = lines_of(source)
    if most is not None and most < len(lines):
        chosen = sorted(random.Random(SEED).sample(range(len(lines)), most))
        lines = [lines[n] for n in chosen]
    path = target.with_name(f"{target.name}_{len(lines)}.jsonl")
    if not path.exists():
        write_lines(path, lines)
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in lines_of(path)]


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file that are not empty."""
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines, and the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{line}\n" for line in lines))


def split_by_passage(train: Iterable[dict[str, Any]], test: Iterable[dict[str, Any]]) -> tuple[list[int], list[int]]:
    """Return the numbers of the test rows whose passage no training row has, and of those whose passage one has.

    BoolQ asks several questions about a passage, and its splits share passages.
    """
    trained = {_plain(row["passage"]) for row in train}
    seen = [_plain(row["passage"]) in trained for row in test]
    return [n for n, each in enumerate(seen) if not each], [n for n, each in enumerate(seen) if each]


def as_boolq(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of RTE in BoolQ's columns: the premise as passage, the hypothesis as question, no answer.

    There is none, because what is not entailed need not be untrue.
    """
    return {"passage": row["premise"], "question": row["hypothesis"].rstrip(" .").lower()}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
