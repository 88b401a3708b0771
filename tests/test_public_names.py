"""What `import ensemble_uq_llm` offers, and what it costs."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import ensemble_uq_llm

TREE = ast.parse(Path(ensemble_uq_llm.__file__).read_text(encoding="utf-8"))


def test_importing_the_package_costs_nothing():
    source = Path(ensemble_uq_llm.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(source)!r}); before = set(sys.modules); import ensemble_uq_llm; "
    code += "print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    third_party = {name.partition(".")[0] for name in run.stdout.split()} - sys.stdlib_module_names
    assert third_party == {"ensemble_uq_llm"}
    assert "ensemble_uq_llm." not in run.stdout


@pytest.mark.parametrize("name", sorted({*ensemble_uq_llm.__all__} - {"__version__"}))
def test_a_public_name_is_what_its_module_holds(name):
    found = getattr(ensemble_uq_llm, name)
    assert found is getattr(import_module(f"ensemble_uq_llm.{ensemble_uq_llm._HOMES[name]}"), name)
    assert found.__doc__


def test_checkers_see_the_same_names_from_the_same_modules():
    [block] = [node for node in TREE.body if isinstance(node, ast.If)]
    seen = {alias.name: statement.module for statement in block.body for alias in statement.names}
    homes = {name: f"ensemble_uq_llm.{home}" for name, home in ensemble_uq_llm._HOMES.items()}
    assert seen == homes
    assert {*ensemble_uq_llm.__all__} == {*homes, "__version__"}
    assert ensemble_uq_llm.__all__ == sorted(ensemble_uq_llm.__all__)


def test_dir_shows_the_public_names():
    assert dir(ensemble_uq_llm) == sorted(ensemble_uq_llm.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'ensemble_uq_llm' has no attribute 'nonsense'"):
        ensemble_uq_llm.nonsense  # noqa: B018
