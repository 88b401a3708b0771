"""A strict reader of flat YAML: one mapping of keys to scalars or lists of scalars, with line numbers.

YAML 1.1, which PyYAML reads by default, turns `no` into False, `2e-4` into a string, `010` into 8 and lets the
last of two equal keys win in silence. Here scalars follow YAML 1.2, and whatever a flat file cannot mean is
reported with its line.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.reader import ReaderError

from ensemble_uq_llm.utils.text import clipped

MAX_CHARACTERS: Final = 1 << 20
MAX_DEPTH: Final = 8
MAX_NODES: Final = 25_000
"""A configuration of our own (`config.py` bounds its lists and texts) is smaller in each of these."""

_STR, _INT, _FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float"))


@dataclass(frozen=True, slots=True)
class Entry:
    """The value of a key and the line (from 1) on which the key stands."""

    value: Any
    line: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong on a line."""

    line: int
    message: str


ALIASES: Final = "anchors and aliases (& and *) are not allowed here; quote the value if it is text"
NESTED: Final = "must be a value or a list of values, not a nested mapping or list"


class _RefusedError(Exception):
    """Carries what a flat file may not hold from the midst of a parse."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(line, message)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalar rules of YAML 1.2's core schema.

    Each event passes `get_event` before anything is built of it: aliases, tags, deep nesting and endless lists go no
    further (alias bombs, stack overflow, minutes of parsing).
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0
        self._key = ""
        self._is_key = True

    def get_event(self) -> yaml.Event:
        """Return the next event of the parser, if it may stand in a flat file."""
        event: yaml.Event = super().get_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _RefusedError(line, ALIASES)
        if tag := getattr(event, "tag", None):
            raise _RefusedError(line, f"tags are not allowed here, found {clipped(tag)}; quote the value if it is text")
        if isinstance(event, yaml.NodeEvent):
            self._count(event, line)
        self._depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if self._depth > MAX_DEPTH:
            raise _RefusedError(line, "nested too deeply: the file holds flat `key: value` lines")
        return event

    def _count(self, event: yaml.NodeEvent, line: int) -> None:
        """Count what stands in the file, and note under which key."""
        if self._depth == 1:
            if self._is_key:
                self._key = getattr(event, "value", "")
            self._is_key = not self._is_key
        self._nodes += 1
        if self._nodes > MAX_NODES:
            key = clipped(self._key)[1:-1]
            raise _RefusedError(line, f"{key}: with it the file holds more than {MAX_NODES:,} values; shorten it")


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"^(?:{_pattern})$"),
        list(_first.replace("\0", "")) + ([""] if "\0" in _first else []),
    )


def _construct_int(loader: _Loader, node: Any) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_constructor(_INT, _construct_int)


_YAML_11, _YAML_12 = yaml.SafeDumper.yaml_implicit_resolvers, _Loader.yaml_implicit_resolvers


class _Dumper(yaml.SafeDumper):
    """Quotes a text that YAML 1.1 or 1.2 would read as something else."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own name)
        first: _YAML_11.get(first, []) + _YAML_12.get(first, []) for first in _YAML_11 | _YAML_12
    }

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Put a text of more than one line, or with invisible characters, on one line between double quotes."""
        return self.represent_scalar(_STR, text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_text)


def parse_flat_yaml(text: str, *, as_spelled: Collection[str] = ()) -> tuple[dict[str, Entry], list[Problem]]:
    """Read flat YAML; a number under one of the keys `as_spelled` stays the text that was written, `01` or `1e5`.

    Returns the entries that could be read, and every problem found; a file with problems is not to be used.
    """
    if len(text) > MAX_CHARACTERS:
        return {}, [Problem(1, f"the file is larger than {MAX_CHARACTERS:,} characters; that is no configuration")]
    try:
        root = _Loader(text).get_single_node()
    except _RefusedError as refused:
        return {}, [refused.problem]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at column {mark.column + 1}" if mark else ""
        return {}, [Problem(mark.line + 1 if mark else 1, f"not valid YAML{where}: {error.problem}")]
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return {}, [Problem(line, f"not valid YAML: the character {chr(error.character)!a} is not allowed; delete it")]
    if root is None:
        return {}, []
    if not isinstance(root, yaml.MappingNode):
        return {}, [Problem(1, "the file must hold `key: value` lines")]
    return _read_mapping(root, as_spelled)


def parse_scalar(text: str, *, as_spelled: bool = False) -> Any:
    """Read one value as it would be read behind `key:`; a value that is not valid YAML is taken as a string."""
    entries, problems = parse_flat_yaml(f"value: {text}", as_spelled=("value",) if as_spelled else ())
    return text if problems or set(entries) != {"value"} else entries["value"].value


def write_value(value: Any) -> str:
    """Write one value as it stands behind `key:`, so that it is read back unchanged."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n...\n").rstrip("\n")


def _read_mapping(root: yaml.MappingNode, as_spelled: Collection[str]) -> tuple[dict[str, Entry], list[Problem]]:
    loader = _Loader("")
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for key_node, value_node in root.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem(line, "a key must be a plain word"))
            continue
        key, shown = key_node.value, clipped(key_node.value)[1:-1]
        if key in entries:
            problems.append(Problem(line, f"{shown}: given twice, first on line {entries[key].line}; keep one of them"))
            continue
        scalars = _scalars(value_node)
        if scalars is None:
            problems.append(Problem(line, f"{shown}: {NESTED}"))
            continue
        for scalar in scalars if key in as_spelled else ():
            if scalar.tag in (_INT, _FLOAT):
                scalar.tag = _STR
        try:
            entries[key] = Entry(loader.construct_object(value_node, deep=True), line)
        except ValueError:  # the only one that the patterns let through: Python reads 4,300 digits at most
            problems.append(Problem(line, f"{shown}: the number has too many digits"))
    return entries, problems


def _scalars(node: yaml.Node) -> list[yaml.ScalarNode] | None:
    """Return the scalars of a value; None if it is nested."""
    items: list[Any] = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return items if all(isinstance(item, yaml.ScalarNode) for item in items) else None
