"""docs/architecture.md names every file, no other, and functions and letters that exist."""

import ast
import re

from documents import DOCUMENTS, ROOT, first_cells, section

PAGE = DOCUMENTS["docs/architecture.md"]
PACKAGE = ROOT / "src" / "ensemble_uq_llm"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
FOLDERS = ("benchmarks", "tools", "scripts", "configs", "examples")
LONGEST_NAME_OF_AXES = 4


def test_every_file_has_its_line():
    modules = [path.relative_to(PACKAGE).as_posix() for path in TREES if not path.name.startswith("__")]
    others = [
        path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).iterdir() if path.is_file()
    ]
    named = first_cells(section(PAGE, "## Every file"))
    assert [name for name in modules + others if name not in named] == []
    assert len(named) == len(set(named))


def test_no_file_is_named_that_is_gone():
    named = first_cells(section(PAGE, "## Every file"))
    assert [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()] == []


def test_the_walk_names_what_exists():
    places = re.findall(r"`([\w/]+\.py)(?::([\w.]+))?`", section(PAGE, "## The walk"))
    assert len(places) > 20
    missing = [f"{file}:{name}" for file, name in places if not (PACKAGE / file).exists() or not defines(file, name)]
    assert missing == []


def test_the_walk_visits_every_room():
    rooms = set(re.findall(r"`(\w+)/[\w/]+\.py", section(PAGE, "## The walk")))
    assert {"data", "models", "training", "inference", "evaluation", "report"} <= rooms


def test_every_letter_has_its_line_and_the_other_way_round():
    listed = {name for name in first_cells(section(PAGE, "## Letters")) if len(name) == 1}
    used = {letter for tree in TREES.values() for name in names_in(tree) for letter in letters_of(name)}
    assert used == listed


def defines(file: str, name: str) -> bool:
    """Return whether a module has a function, class or (with a dot) method of that name; "" is the module itself."""
    body = TREES[PACKAGE / file].body
    for part in name.split(".") if name else []:
        found = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part]
        if not found:
            return False
        body = found[0].body
    return True


def names_in(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def letters_of(name: str) -> str:
    """Return the letters of the axes that a lower-case name ends in."""
    match = re.fullmatch(rf"_?[a-z][a-z0-9_]*_([A-Z0-9]{{1,{LONGEST_NAME_OF_AXES}}})", name)
    return "".join(filter(str.isalpha, match[1])) if match else ""
