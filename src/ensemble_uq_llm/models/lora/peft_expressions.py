"""Expressions of an adapter's settings, tried with a limit on their time before PEFT tries them without one.

An expression of twenty characters can take longer on one name than anybody lives, and cannot be stopped from within.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, Final

SECONDS: Final = 1
"""Of a processor's time; an ordinary expression takes a thousandth on all names of a model."""

_KEYS: Final = (
    "target_modules",
    "exclude_modules",
    "layers_pattern",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
)
_FORMS: Final = ("{}", r"(.*\.)?({})$", r"(?:^|.*?\.){}\.(?P<idx>\d+)\.", r"(^|.*\.){}($|\..*)")
"""How PEFT completes an expression, by the key that it stands in."""

_CHILD: Final = """
import json, re, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1])))
except ImportError:
    pass
asked = json.load(sys.stdin)
for expression in asked["expressions"]:
    try:
        compiled = re.compile(expression)
    except Exception:
        continue
    for name in asked["names"]:
        compiled.fullmatch(name)
"""


def endless_expression(settings: dict[str, Any], names: Iterable[str]) -> str | None:
    """Return the key of settings whose expressions cannot be tried on the names of modules in time, or None.

    Expressions that are none pass: PEFT says what is wrong with them.
    """
    names = list(names)
    for key in _KEYS:
        if (expressions := _expressions(settings.get(key))) and not _end(expressions, names):
            return key
    return None


def _expressions(value: Any) -> list[str]:
    """Return what in a setting is more than the name of a module."""
    each = [value] if isinstance(value, str) else value if isinstance(value, list | dict) else ()
    return [one for one in each if isinstance(one, str) and not re.fullmatch(r"[\w.-]*", one)]


def _end(expressions: list[str], names: list[str]) -> bool:
    completed = [form.format(each) for each in expressions for form in _FORMS]
    child = [sys.executable, "-I", "-S", "-c", _CHILD, str(SECONDS)]
    asked = json.dumps({"expressions": completed, "names": names})
    try:
        # The limit on processor time holds on a busy machine, too; the other one is for where there is none.
        done = subprocess.run(child, input=asked.encode(), capture_output=True, timeout=60 * SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
