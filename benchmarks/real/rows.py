"""Which rows of a file are used: drawn by a fixed seed, kept as they stand in the file."""

import random
from pathlib import Path
from typing import Final

from ensemble_uq_llm.utils.files import write_text

SEED: Final = 0
"""Of every choice of rows."""


def draw_rows(source: Path, most: int | None, target: Path) -> Path:
    """Write so many rows of a file of JSON lines, drawn without replacement, in their order; all where None.

    The target's name gets the number of rows, so that rows of another number are another file.

    Returns:
        The file, which is left alone where it is there already.
    """
    lines = [line for line in source.read_text(encoding="utf-8").split("\n") if line.strip()]
    if most is not None and most < len(lines):
        chosen = sorted(random.Random(SEED).sample(range(len(lines)), most))
        lines = [lines[n] for n in chosen]
    path = target.with_name(f"{target.name}_{len(lines)}.jsonl")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(f"{line}\n" for line in lines))
    return path
