"""What the value of a label means: one class, the same in every file format, or nothing.

The rule, in this order:

1. Values that only the format spells differently are one value: a bool and the text `true` or `false` in any case; a
   number and its text (`1`, `1.0`, `"1"`, but not `"01"`). Any other text is itself, letter for letter.
2. A value that is the name of a class means that class. So with the names `[true, false]` a JSON `true` and a CSV
   `True` both mean the first.
3. true and false mean the classes that are named so in other words (yes and no, y and n, t and f). Where no name is
   such a word, of two classes the first is false and the second true.
4. A whole number is the index of a class, from 0. Where names are numbers, that holds only if each of them is its own
   index; else a number is a name or nothing.
5. A value that could mean two classes is none: 0 and 1 where the names are `[yes, no]`, so that the index of yes is
   what false is often written as.
6. A class number of data that name their classes themselves (`label_values.ClassCode`) is the class of that name;
   where none of the names is ours, in any case, it is the index.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from ensemble_uq_llm.labels.label_values import ClassCode, key_of
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import listed

FROM_DATA: Final = "from_data"
"""What a configuration gives in place of the names where the classes are the labels of the training data."""

TRUTH_WORDS: Final = {
    "true": True, "yes": True, "y": True, "t": True,
    "false": False, "no": False, "n": False, "f": False,
}  # fmt: skip
MOST_HINTS: Final = 100
"""Of so many unknown labels it is said which name was meant; a column of others has none in mind."""
NUMBER_WITH_ZEROS: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")


class NotAClassError(ValueError):
    """A value means no class; the message says why, where there is more to say than that it is unknown."""


class ClassNames:
    """The names of the classes in the order of their index, and which class a value means.

    No two names may be spellings of one value (`label_values.key_of`); a configuration is checked for that.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._by_key = {key_of(name): index for index, name in enumerate(self.names)}
        self._hints: dict[str, str] = {}
        self._translations: dict[tuple[str, ...], tuple[int | None, ...]] = {}

    def index_of(self, value: Any) -> int:
        """Return the class that a value means, by the rule above.

        Raises:
            NotAClassError: it means none, or could mean two.
        """
        if isinstance(value, ClassCode):
            return self._of_code(value)
        key = key_of(value)
        if key is None:
            raise NotAClassError
        if key in self._by_key:
            return self._by_key[key]
        if key[0] == "truth":
            return self._of_truth(is_true=key[1])
        if key[0] == "number":
            return self._of_number(key[1])
        raise NotAClassError(self._hint(key[1]))

    def _hint(self, label: str) -> str:
        """Return which name may have been meant; each label is looked up once."""
        if label not in self._hints and len(self._hints) < MOST_HINTS:
            self._hints[label] = did_you_mean(label, self.names).removeprefix("; ")
        return self._hints.get(label, "")

    @property
    def in_words(self) -> str:
        """Say what a label may be, for an error."""
        ways = ["true/false"] if self._words or self.truth_by_order else []
        ways += [f"a class number 0 to {len(self.names) - 1}"] if self._numbers_are_indices else []
        return ", ".join([*ways, f"{'or ' if ways else ''}one of {listed(self.names)}"])

    @cached_property
    def truth_by_order(self) -> bool:
        """Whether only the order of two names says which of them is true."""
        return len(self.names) == 2 and not self._words and self._numbers_are_indices

    @cached_property
    def _words(self) -> dict[bool, list[int]]:
        """The classes whose names are words for true and for false."""
        found: dict[bool, list[int]] = {}
        for index, name in enumerate(self.names):
            if (truth := TRUTH_WORDS.get(name.lower())) is not None:
                found.setdefault(truth, []).append(index)
        return found

    @cached_property
    def _numbers_are_indices(self) -> bool:
        numbers = [(index, name) for index, name in enumerate(self.names) if NUMBER_WITH_ZEROS.fullmatch(name)]
        return all(Decimal(name) == index for index, name in numbers)

    def _of_truth(self, *, is_true: bool) -> int:
        named = self._words.get(is_true, [])
        if len(named) == 1:
            return named[0]
        if self.truth_by_order:
            return int(is_true)
        spelled = "true" if is_true else "false"
        raise NotAClassError(f"no class is named {spelled}" if not named else f"several classes mean {spelled}")

    def _of_number(self, number: Decimal | int) -> int:
        if not 0 <= number < len(self.names) or number != int(number):
            raise NotAClassError
        index = int(number)
        if not self._numbers_are_indices:
            raise NotAClassError("class_names are numbers themselves, so a number is a name and no index")
        if len(self.names) == 2 and self._words.get(bool(index), [index]) != [index]:
            truth = "true" if index else "false"
            raise NotAClassError(
                f"{index} could be class number {index}, {self.names[index]!r}, or mean {truth}; write the name"
            )
        return index

    def knows_code(self, code: ClassCode) -> bool:
        """Whether the data's own names of the classes are ours, so that a class number is read by its name."""
        return any(own is not None for own in self._translated(code.names))

    def _of_code(self, code: ClassCode) -> int:
        """Read a class number by its name where the names are ours, and by itself where all of them are others."""
        if not 0 <= code.index < len(code.names):
            raise NotAClassError
        if self.knows_code(code):
            if (own := self._translated(code.names)[code.index]) is not None:
                return own
            raise NotAClassError(f"the data's own names are {listed(code.names)}")
        if len(code.names) != len(self.names):
            raise NotAClassError(f"the data have {len(code.names)} classes, {listed(code.names)}")
        return code.index

    def _translated(self, names: tuple[str, ...]) -> tuple[int | None, ...]:
        """Return the classes that another's names of classes mean; the same for all rows of a file."""
        if names not in self._translations:
            self._translations[names] = tuple(self._of_name(name) for name in names)
        return self._translations[names]

    def _of_name(self, name: str) -> int | None:
        """Return the class that another's name of a class means: the same name, in other case, or as a truth word."""
        key = key_of(name)
        if key in self._by_key:
            return self._by_key[key]
        alike = [index for index, own in enumerate(self.names) if own.lower() == name.lower()]
        truth = TRUTH_WORDS.get(name.lower())
        alike = alike or (self._words.get(truth, []) if truth is not None else [])
        return alike[0] if len(alike) == 1 else None
