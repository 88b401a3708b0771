"""What pydantic finds wrong with the values of keys, in words that tell the user what to write."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from pydantic_core import ErrorDetails

from ensemble_uq_llm.utils.suggest import did_you_mean

_WORDS: Final = {
    "path_type": "must be a path (quote one that looks like a number)",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty; delete the line, or write null where that is allowed",
    "too_short": "must hold at least {min_length}",
}
"""What to say instead of pydantic's words, by the type of its error."""


def field_problems(details: Sequence[ErrorDetails], *, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with each key, as the user wrote it: the key, and what to write instead."""
    with_wrong_items = {detail["loc"][0] for detail in details if len(detail["loc"]) > 1}
    for detail in details:
        key = str(detail["loc"][0])
        if detail["type"] == "too_short" and key in with_wrong_items:
            continue  # pydantic counts only the right items
        if detail["type"] == "extra_forbidden":
            near = did_you_mean(key, known)
            yield key, f"{key}: unknown key{near or '; `ensemble-uq init` lists the known ones'}"
        else:
            place = key + "".join(f"[{part}]" for part in detail["loc"][1:] if isinstance(part, int))
            found = repr(detail["input"])
            yield (
                key,
                f"{place}: {_in_words(detail)}, found {found if len(found) <= 80 else found[:77] + '...'}",
            )


def _in_words(detail: ErrorDetails) -> str:
    """Turn pydantic's sentence round so that it tells the user what to write."""
    if detail["type"] in _WORDS:
        return _WORDS[detail["type"]].format(**detail.get("ctx", {}))
    words = detail["msg"].replace("Input should be", "must be").replace("a valid ", "a ").replace("tuple", "list")
    return words.replace("a integer", "an integer")
