"""JSON lines, strictly: one flat object a line, no key twice, no depth without end.

Written on the standard library's parser because readers of tables accept mixed types, repeated keys, missing keys and
arrays silently, and their errors do not name the line.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from ensemble_uq_llm.utils.input.input_file import InputFile
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.input.text_lines import decoded, numbered_lines
from ensemble_uq_llm.utils.text import clipped

ONE_A_LINE: Final = "rewrite the file with `jq -c '.[]' old.json > new.jsonl`"
DEEPEST: Final = 64
"""So many levels of lists and objects may stand in each other."""

ROW_BYTES: Final = 300
VALUE_BYTES: Final = 60
"""About what a row and each of its values cost in memory, beside their text."""


class _RepeatedKeyError(ValueError):
    """An object has a key twice."""


def json_rows(file: InputFile, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the object of every line with its number; broken lines are noted in `problems`, blank ones skipped."""
    for line, raw in numbered_lines(file, problems):
        text = decoded(raw, line, problems)
        if text and (text := text.rstrip()):
            value = _parsed(text, line, problems)
            if value is not None:
                file.take(len(raw) + ROW_BYTES + VALUE_BYTES * len(value))
                yield line, value


def _parsed(text: str, line: int, problems: Problems) -> dict[str, Any] | None:
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        if text.strip() in ("[", "{", "[{"):
            problems.stop(line, f"one object must stand on one line; {ONE_A_LINE}")
        problems.add(line, f"broken JSON at column {error.colno}: {error.msg}: {clipped(text.strip())}")
    except RecursionError:
        problems.add(line, "nested too deeply; a row is one flat object")
    except _RepeatedKeyError as error:
        problems.add(line, str(error))
    except ValueError:  # Python reads whole numbers of up to 4,300 digits
        problems.add(line, "holds a number of thousands of digits; write it as text, or shorter")
    else:
        if isinstance(value, dict):
            if not _is_deep(value):
                return value
            problems.add(line, "nested too deeply; a row is one flat object")
        elif isinstance(value, list):
            problems.stop(line, f"a list where an object is expected; {ONE_A_LINE}")
        else:
            problems.add(line, f'{clipped(value)} where an object such as {{"question": ...}} is expected')
    return None


def _is_deep(value: dict[str, Any]) -> bool:
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for values in inside for each in values if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedKeyError(f"the field {_repeated([name for name, _ in pairs])} occurs twice")
    return found


def _repeated(names: list[str]) -> str:
    return clipped(next(name for name, count in Counter(names).items() if count > 1))
