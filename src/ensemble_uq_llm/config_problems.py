"""What pydantic finds wrong with the values of keys, in words that tell the user what to write."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import CLIP, clipped, counted, cut

MOST_PROBLEMS: Final = 50
"""So many are told, the others counted."""

_WORDS: Final = {
    "path_type": "must be a path (quote one that looks like a number)",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty; delete the line, or write null where that is allowed",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length:,}",
    "string_too_long": "must have at most {max_length:,} characters",
    "string_unicode": "must be text without halves of characters (surrogates)",
    "int_parsing_size": "must be an integer of fewer digits",
}
"""What to say instead of pydantic's words, by the type of its error."""


def told(problems: Iterable[str]) -> list[str]:
    """Return the problems that are told, and last the number of the others."""
    rest = iter(problems)
    shown = list(itertools.islice(rest, MOST_PROBLEMS))
    more = sum(1 for _ in rest)
    return [*shown, f"and {counted(more, 'problem')} more"] if more else shown


def unknown_keys(keys: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each key that there is none of, and what to say of it."""
    hints = itertools.count()
    for key in keys:
        if key not in known:
            near = did_you_mean(key, known) if next(hints) < MOST_PROBLEMS else ""  # the others are only counted
            yield key, f"{cut(key)}: unknown key{near or '; `ensemble-uq init` lists the known ones'}"


def field_problems(details: Sequence[ErrorDetails]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with each key, as the user wrote it: the key, and what to write instead."""
    with_wrong_items = {detail["loc"][0] for detail in details if len(detail["loc"]) > 1}
    for detail in details:
        key = str(detail["loc"][0])
        if detail["type"] == "too_short" and key in with_wrong_items:
            continue  # pydantic counts only the right items
        place = key + "".join(f"[{part}]" for part in detail["loc"][1:] if isinstance(part, int))
        yield key, f"{place}: {_in_words(detail)}, found {_found(detail['input'])}"


def _found(value: Any) -> str:
    try:
        found = repr(value) if not isinstance(value, str) else clipped(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return found if len(found) <= CLIP else cut(found, CLIP - 3)


def _in_words(detail: ErrorDetails) -> str:
    """Turn pydantic's sentence round so that it tells the user what to write."""
    if detail["type"] in _WORDS:
        return _WORDS[detail["type"]].format(**detail.get("ctx", {}))
    words = detail["msg"].replace("Input should be", "must be").replace("a valid ", "a ").replace("tuple", "list")
    return words.replace("a integer", "an integer")
