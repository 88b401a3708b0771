"""A strict reader of flat YAML: one mapping of keys to scalars or lists of scalars, with line numbers.

YAML 1.1, which PyYAML reads by default, turns `no` into False, `2e-4` into a string, `010` into 8 and lets the
last of two equal keys win in silence. Here scalars follow YAML 1.2, and whatever a flat file cannot mean is
reported with its line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.reader import ReaderError

MAX_BYTES = 1 << 20
MAX_DEPTH = 8


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


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalar rules of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name)


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


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


_YAML_11, _YAML_12 = yaml.SafeDumper.yaml_implicit_resolvers, _Loader.yaml_implicit_resolvers


class _Dumper(yaml.SafeDumper):
    """Quotes a text that YAML 1.1 or 1.2 would read as something else."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own name)
        first: _YAML_11.get(first, []) + _YAML_12.get(first, []) for first in _YAML_11 | _YAML_12
    }

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Put a text of more than one line, or with invisible characters, on one line between double quotes."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_text)


def parse_flat_yaml(text: str) -> tuple[dict[str, Entry], list[Problem]]:
    """Read flat YAML.

    Returns the entries that could be read, and every problem found; a file with problems is not to be used.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        return {}, [Problem(1, f"the file is larger than {MAX_BYTES} bytes; that is no configuration")]
    try:
        problems = list(_scan_events(text))
        if problems:
            return {}, problems
        root = yaml.compose(text, Loader=_Loader)
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
    return _read_mapping(root)


def parse_scalar(text: str) -> Any:
    """Read one value as it would be read behind `key:`; a value that is not valid YAML is taken as a string."""
    entries, problems = parse_flat_yaml(f"value: {text}")
    return text if problems or set(entries) != {"value"} else entries["value"].value


def write_value(value: Any) -> str:
    """Write one value as it stands behind `key:`, so that it is read back unchanged."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n...\n").rstrip("\n")


def _scan_events(text: str) -> Iterator[Problem]:
    """Refuse aliases, tags and deep nesting before anything is built from them (alias bombs, stack overflow)."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            yield Problem(line, "anchors and aliases (& and *) are not allowed here; quote the value if it is text")
            return
        if tag := getattr(event, "tag", None):
            yield Problem(line, f"tags are not allowed here, found {tag!r}; quote the value if it is text")
            return
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            yield Problem(line, "nested too deeply: the file holds flat `key: value` lines")
            return


def _read_mapping(root: yaml.MappingNode) -> tuple[dict[str, Entry], list[Problem]]:
    loader = _Loader("")
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for key_node, value_node in root.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem(line, "a key must be a plain word"))
            continue
        key = key_node.value
        if key in entries:
            problems.append(Problem(line, f"{key}: given twice, first on line {entries[key].line}; keep one of them"))
            continue
        if not _is_flat(value_node):
            problems.append(Problem(line, f"{key}: must be a value or a list of values, not a nested mapping or list"))
            continue
        try:
            entries[key] = Entry(loader.construct_object(value_node, deep=True), line)
        except ValueError:  # the only one that the patterns let through: Python reads 4,300 digits at most
            problems.append(Problem(line, f"{key}: the number has too many digits"))
    return entries, problems


def _is_flat(node: yaml.Node) -> bool:
    if isinstance(node, yaml.SequenceNode):
        return all(isinstance(item, yaml.ScalarNode) for item in node.value)
    return isinstance(node, yaml.ScalarNode)
