"""JSON of a stranger's folder: one meaning or none, and no more of it than such files need."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.models.checks.folder_files import obstacle
from ensemble_uq_llm.utils.text import clipped

LARGEST_JSON: Final = 16 * 2**20
"""Bytes of a configuration; the largest known are a hundredth of it."""


def read_strict_json(path: Path, *, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """Read a JSON object whose keys stand there once and whose numbers are numbers.

    Raises:
        ValueError: it is none, or no file that may be opened; the message says why without the file's name.
    """
    if reason := obstacle(path, largest=largest):
        raise ValueError(f"it {reason}")
    try:
        return parse_strict_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror or error})") from error


def parse_strict_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object of these bytes, likewise.

    Raises:
        ValueError: as `read_strict_json`.
    """
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start:,})") from error
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"it holds {type(value).__name__}, not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"the key {clipped(twice)} stands there twice")
    return found


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("NaN is no number")
    return float(name)
