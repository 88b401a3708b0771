"""Several commands of the package after each other in one process, so that the engine is imported once.

    python benchmarks/posterior_bench/chain.py posterior RUN --maker tfb --output RUN2 then predict RUN2

Ends with the code of the first that fails, as 75 when it was asked to stop.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from ensemble_uq_llm.cli import main as command

THEN: Final = "then"
"""Stands between two commands."""

PROGRAM: Final = (str(Path(__file__).absolute()),)
"""What Python runs."""


def commands_of(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the commands that stand between the words `then`."""
    for is_between, part in groupby(words, lambda word: word == THEN):
        if not is_between:
            yield list(part)


def main(words: Sequence[str]) -> None:
    """Run the commands in their order; leaves by SystemExit where one fails."""
    for each in commands_of(words):
        try:
            command(each)
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    main(sys.argv[1:])
