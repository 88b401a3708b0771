"""The house's rules that a parser can hold: floors, sizes, documentation, keys that are read, no pickle."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from specification import SPECIFIED

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ensemble_uq_llm"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
TREES = {name: ast.parse((PACKAGE / name).read_text(encoding="utf-8")) for name in MODULES}
DOORS = ("main.py", "infer.py", "train.sh", "scripts/train_models.sh", "scripts/run_inference.sh")

ROOMS = {
    "errors.py": 0, "outgoing": 0, "utils": 0, "storage": 0, "statistics": 0, "labels": 0,
    "member.py": 1, "config.py": 1, "config_problems.py": 1, "config_file.py": 1, "run_folder.py": 1,
    "predictions": 1, "samples": 1,
    "data": 2, "models": 2, "evaluation": 2,
    "training": 3, "inference": 3, "posteriors": 3, "report": 3, "verification": 3,
    "cli.py": 4, "evaluation_commands.py": 4, "printing.py": 4, "pipeline.py": 4, "run.py": 4, "__main__.py": 4,
    "__init__.py": 4, "commands": 4, "comparing": 4, "sampling": 4, "answering": 4,
}  # fmt: skip
"""The floor of every room: of a folder, or of a module beside the folders."""

LIGHT = (
    "member.py",
    "outgoing",
    "labels",
    "config.py",
    "config_problems.py",
    "config_file.py",
    "run_folder.py",
    "statistics",
    "predictions",
    "samples",
    "evaluation",
    "report",
    "verification",
    "answering",
    "cli.py",
    "comparing",
    "evaluation_commands.py",
)
"""The rooms that work in the light installation."""

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "datasets",
    "safetensors",
    "psutil",
    "tokenizers",
    "huggingface_hub",
    "pandas",
)
"""What only the extras bring; None in `sys.modules` makes their import fail."""

FORBIDDEN_IMPORTS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    "torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "np.save",
    "eval", "exec",
}  # fmt: skip
"""Ways to run code that stands in a file, or to write such files."""

HARMLESS_ONLY_WITHOUT_PICKLE = {"np.load", "numpy.load"}
"""Calls that must say `allow_pickle=False`: the default of today is no promise for tomorrow."""

PROPERTIES = {
    "member_seeds": ("seeds", "num_ensemble_models"),
    "class_labels": ("class_names", "num_labels"),
    "effective_batch_size": ("batch_size", "gradient_accumulation_steps"),
}
"""Properties of the configuration, and the keys that are read through them."""

TESTED_ELSEWHERE = {
    "answering/answer_run.py": "test_answer_command.py",
    "inference/answer_stream.py": "test_answer_command.py",
    "inference/kept_answers.py": "test_answer_command.py",
    "evaluation/files/run_exit.py": "test_answer_command.py",
    "evaluation/files/run_rule.py": "test_answer_command.py",
    "evaluation/decisions/leaving/asked_in_order.py": "test_certify_exit.py",
    "training/share.py": "test_launch.py",
    "verification/acceptance.py": "test_verify.py",
    "verification/audit.py": "test_verify.py",
    "verification/links.py": "test_verify.py",
    "verification/outside.py": "test_verify.py",
    "verification/recorded.py": "test_verify.py",
    "outgoing/safe_text.py": "test_visible.py",
    "__main__.py": "test_cli.py",
    "config_problems.py": "test_config_file.py",
    "data/reading/columns.py": "test_data_files.py",
    "data/cut.py": "test_tokenize.py",
    "models/checks/settings_values.py": "test_base_config.py",
    "data/example.py": "test_data_files.py",
    "data/reading/file_formats.py": "test_data_files.py",
    "labels/label_values.py": "test_class_names.py",
    "utils/input/problems.py": "test_data_files.py",
    "data/repeats.py": "test_job.py",
    "predictions/foreign/table_file.py": "test_foreign_tables.py",
    "utils/input/text_lines.py": "test_data_files.py",
    "training/from_config.py": "test_outcomes.py",
    "data/embedded/world.py": "test_synthetic.py",
    "evaluation/beside/cautions.py": "test_many_runs.py",
    "evaluation/beside/compared_run.py": "test_many_runs.py",
    "evaluation/beside/quantities.py": "test_many_runs.py",
    "evaluation/beside/table_json.py": "test_compare_command.py",
    "evaluation/files/evaluate_files.py": "test_evaluate.py",
    "evaluation/records/curves.py": "test_metrics_json.py",
    "evaluation/records/class_records.py": "test_metrics_json.py",
    "evaluation/records/decision_records.py": "test_metrics_json.py",
    "evaluation/records/finding_records.py": "test_metrics_json.py",
    "evaluation/records/estimates.py": "test_metrics_json.py",
    "evaluation/records/member_records.py": "test_metrics_json.py",
    "evaluation/records/protocol_record.py": "test_protocol_in_words.py",
    "evaluation/records/run_comparison.py": "test_comparison.py",
    "evaluation/records/runs_beside.py": "test_many_runs.py",
    "evaluation/records/set_metrics.py": "test_metrics_json.py",
    "statistics/intervals.py": "test_bootstrap.py",
    "models/heads/head.py": "test_answer.py",
    "models/heads/head_kinds.py": "test_answer.py",
    "models/lora/peft_settings.py": "test_peft_folder.py",
    "models/lora/peft_view.py": "test_peft_folder.py",
    "utils/hub.py": "test_hub_probe.py",
    "utils/key_types.py": "test_config.py",
    "labels/class_keys.py": "test_config.py",
    "commands/check_list.py": "test_preflight.py",
    "commands/engine_checks.py": "test_preflight.py",
    "commands/options.py": "test_cli.py",
    "commands/plan.py": "test_cli.py",
    "commands/targets.py": "test_evaluation_commands.py",
    "models/local.py": "test_base.py",
    "report/paste_comparison.py": "test_evaluation_commands.py",
    "report/words/runs_in_words.py": "test_runs_table.py",
    "training/planning/time_estimate.py": "test_dry_run.py",
}
"""Modules without a test file of their own name: private halves of another module, bare records, a name twice."""


def room(module: str) -> str:
    return module.partition("/")[0]


def our_imports(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of ours that are imported anywhere in a file, as paths in the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            inside = name.removeprefix("ensemble_uq_llm").removeprefix(".").replace(".", "/")
            if name.partition(".")[0] == "ensemble_uq_llm" and f"{inside}.py" in TREES:
                yield f"{inside}.py"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


@pytest.mark.parametrize("module", MODULES)
def test_a_floor_imports_only_floors_below(module):
    assert room(module) in ROOMS, f"{module} stands on no floor; give it one"
    floor = ROOMS[room(module)]
    for other in our_imports(TREES[module]):
        is_own_room = room(other) == room(module) or floor == ROOMS[room(other)] in (0, 1, 4)
        assert is_own_room or ROOMS[room(other)] < floor, f"{module} (floor {floor}) imports {other}"


@pytest.mark.parametrize("module", [each for each in MODULES if ROOMS.get(room(each)) == 0])
def test_floor_0_imports_nothing_of_ours_but_itself(module):
    assert {ROOMS[room(other)] for other in our_imports(TREES[module])} <= {0}


@pytest.mark.parametrize("module", [each for each in MODULES if "/" not in each and ROOMS.get(room(each)) == 1])
def test_a_configuration_is_read_without_numpy_and_the_engine(module):
    name = f"ensemble_uq_llm.{module.removesuffix('.py')}"
    code = f"import sys, {name}; print({{'torch', 'transformers', 'peft', 'numpy', 'pyarrow'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_imports_make_no_circle():
    remaining = {module: set(our_imports(TREES[module])) - {module} for module in MODULES}
    while ready := [module for module, needs in remaining.items() if not needs & set(remaining)]:
        for module in ready:
            del remaining[module]
    assert not remaining


@pytest.mark.parametrize("module", MODULES)
def test_nothing_reads_or_writes_pickles_or_runs_text(module):
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN_IMPORTS
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in FORBIDDEN_IMPORTS
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS, f"{module}:{node.lineno}"
            if ast.unparse(node.func) in HARMLESS_ONLY_WITHOUT_PICKLE:
                assert "allow_pickle" in {keyword.arg for keyword in node.keywords}, f"{module}:{node.lineno}"
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "trust_remote_code"):
            assert ast.unparse(node.value) == "False", f"{module}:{node.lineno}"


@pytest.mark.parametrize("module", MODULES)
def test_a_file_has_at_most_300_lines_and_a_function_50(module):
    assert len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) <= 300
    long = {function.name: lines_of_body(function) for function in functions(TREES[module])}
    assert {name: lines for name, lines in long.items() if lines > 50} == {}


def test_no_room_holds_more_than_30_percent_of_the_lines():
    lines = Counter()
    for module in MODULES:
        lines[room(module)] += len((PACKAGE / module).read_text(encoding="utf-8").splitlines())
    shares = {each: count / lines.total() for each, count in lines.items()}
    assert {each: f"{share:.0%}" for each, share in shares.items() if share > 0.3} == {}


def test_about_a_dozen_files_lie_flat_in_a_folder_at_most():
    flat = Counter(Path(module).parent.as_posix() for module in MODULES if not module.endswith("__init__.py"))
    assert {folder: count for folder, count in flat.items() if count > 12} == {}


def test_no_two_modules_and_no_two_classes_have_one_name():
    modules = Counter(Path(module).name for module in MODULES if not module.endswith("__init__.py"))
    classes = Counter(
        node.name
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in (modules | classes).items() if count > 1] == []


def test_what_needs_no_torch_imports_without_it():
    light = [module for module in MODULES if room(module) in LIGHT and not module.endswith("__init__.py")]
    names = [f"ensemble_uq_llm.{module.removesuffix('.py').replace('/', '.')}" for module in light]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"
    code = f"{blocked}; import importlib; [importlib.import_module(name) for name in {names!r}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_says_what_it_is(module):
    assert ast.get_docstring(TREES[module]), f"{module} has no docstring"
    assert [node.name for node in public(TREES[module]) if not ast.get_docstring(node)] == []


def test_every_module_has_its_tests():
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(TESTED_ELSEWHERE.values()) <= tests
    assert set(TESTED_ELSEWHERE) <= set(MODULES)
    needed = {module for module in MODULES if not module.endswith("__init__.py")} - set(TESTED_ELSEWHERE)
    assert {module for module in needed if f"test_{Path(module).name}" not in tests} == set()


def test_names_of_test_files_are_unique():
    names = [path.name for path in (ROOT / "tests").rglob("*.py")]
    assert len(names) == len(set(names))


def test_every_key_is_read_by_something():
    read: set[str] = set()
    for module in set(MODULES) - {"config.py", "config_problems.py", "config_file.py"}:
        for node in ast.walk(TREES[module]):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] in ("config", "settings"):
                read |= {node.attr, *PROPERTIES.get(node.attr, ())}
    assert set(Config.model_fields) - read == set()


def test_the_properties_read_what_they_are_said_to():
    [config] = [node for node in TREES["config.py"].body if isinstance(node, ast.ClassDef) and node.name == "Config"]
    bodies = {function.name: ast.unparse(function) for function in functions(config)}
    for name, keys in PROPERTIES.items():
        assert all(f"self.{key}" in bodies[name] for key in keys)


@pytest.mark.parametrize("path", sorted([*(ROOT / "configs").rglob("*.y*ml"), *PACKAGE.rglob("assets/**/*.y*ml")]))
def test_every_yaml_that_we_ship_loads(path):
    load_config(path)


def test_the_specified_configuration():
    path = ROOT / "configs" / "llama_config.yaml"
    config = load_config(path)
    assert {key: getattr(config, key) for key in SPECIFIED} == SPECIFIED
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) == set(SPECIFIED)


@pytest.mark.parametrize("door", DOORS)
def test_the_doors_hold_no_logic(door):
    assert len((ROOT / door).read_text(encoding="utf-8").splitlines()) <= 25
