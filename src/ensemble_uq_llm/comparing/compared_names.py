"""What runs are called in a table: by as little of their paths as tells them apart."""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, listed

LONGEST: Final = 24
"""Letters of a name; of a longer one the end is kept, which says more of a path."""


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a name for every path, no two alike; a run that is named twice is numbered."""
    parts = [path.absolute().parts for path in paths]
    lengths = [1] * len(parts)
    while True:
        names = ["/".join(each[-own:]) for each, own in zip(parts, lengths, strict=True)]
        many = Counter(name for _, name in {*zip(parts, names, strict=True)})  # one path twice is one
        longer = [
            own + (many[name] > 1 and own < len(each)) for name, each, own in zip(names, parts, lengths, strict=True)
        ]
        if longer == lengths:
            return _numbered([_short(name) for name in names])
        lengths = longer


def baseline_first(paths: Sequence[Path], baseline: str | None) -> list[Path]:
    """Return the paths with the baseline, named as on the command line or in the tables, before the others.

    Raises:
        ConfigError: there is no such run.
    """
    if baseline is None:
        return list(paths)
    names = names_of(paths)
    for known in ([str(path) for path in paths], [str(path.absolute()) for path in paths], names):
        if baseline.rstrip("/") in known:
            at = known.index(baseline.rstrip("/"))
            return [paths[at], *paths[:at], *paths[at + 1 :]]
    hint = did_you_mean(baseline, names) or f"; name one of {listed(names)}"
    raise ConfigError(f"--baseline {clipped(baseline)}: it is not among the runs{hint}")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"...{name[3 - LONGEST :]}"


def _numbered(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        spellings = (f"{name} ({number})" if number > 1 else name for number in count(1))
        found.append(next(each for each in spellings if each not in found))
    return found
