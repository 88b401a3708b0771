"""Values of labels, free of the way in which a file format spells them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Final, Literal, TypeAlias

LabelKey: TypeAlias = (
    tuple[Literal["truth"], bool] | tuple[Literal["number"], Decimal | int] | tuple[Literal["text"], str]
)
"""A value free of the way in which a format spells it."""


NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,29})(\.[0-9]{1,30})?")


@dataclass(frozen=True, slots=True)
class ClassCode:
    """A class number in a file or data set that names its classes itself (a `ClassLabel` of Hugging Face)."""

    index: int
    """-1 where the example has no label."""
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{self.index} ({self.names[self.index]!r})" if 0 <= self.index < len(self.names) else f"{self.index}"


def key_of(value: Any) -> LabelKey | None:
    """Return a value free of its format's spelling; None for what can be no label (NaN, a list, bytes)."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()  # a scalar of NumPy
    if isinstance(value, bool):
        return "truth", value
    if isinstance(value, str):
        if value.lower() in ("true", "false"):
            return "truth", value.lower() == "true"
        return ("number", Decimal(value)) if NUMBER.fullmatch(value) else ("text", value)
    if isinstance(value, Integral):
        return "number", int(value)
    if isinstance(value, Decimal):
        return ("number", value) if value.is_finite() else None
    if isinstance(value, Real) and math.isfinite(value):
        return "number", Decimal(repr(float(value)))
    return None


def name_of(value: Any) -> str | None:
    """Return the name of the class that a value by itself stands for: what all its spellings have in common."""
    if isinstance(value, ClassCode):
        return value.names[value.index] if 0 <= value.index < len(value.names) else None
    key = key_of(value)
    if key is None:
        return None
    if key[0] == "truth":
        return "true" if key[1] else "false"
    if key[0] == "text":
        return key[1]
    return str(int(key[1])) if key[1] == int(key[1]) else f"{Decimal(key[1]).normalize():f}"


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return names sorted: numbers by size, then the others by letters."""

    def rank(name: str) -> tuple[bool, Decimal, str]:
        is_number = NUMBER.fullmatch(name) is not None
        return not is_number, Decimal(name) if is_number else Decimal(0), name

    return tuple(sorted(names, key=rank))
