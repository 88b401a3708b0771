import contextlib
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import (
    LONGEST_ORIGIN,
    commented_template,
    config_to_yaml,
    load_config,
    resolve_config,
    with_absolute_paths,
)
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.labels.class_keys import names_problem
from ensemble_uq_llm.utils.key_types import LARGEST, SMALLEST, path_problem

WORDS = st.text(min_size=1, max_size=20) | st.sampled_from(["no", "1e3", "010", "~", "a: b", "x\ny", " ", "#", "😀"])


def problems(path, *overrides):
    """Return the lines of the error that a configuration gives."""
    with pytest.raises(ConfigError, match=r".") as caught:
        load_config(path, overrides)
    return str(caught.value).splitlines()


@pytest.fixture
def write(tmp_path):
    def write_yaml(text, name="c.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_yaml


def test_no_file_means_the_defaults():
    resolved = resolve_config(None)
    assert resolved.config == Config()
    assert set(resolved.origins.values()) == {"default"}


def test_an_empty_file_means_the_defaults(write):
    assert load_config(write("# nothing\n")) == Config()


def test_origins(write):
    path = write("# first\nnum_epochs: 5\n\nseeds: [1,\n  2]\nlora_r: 4\n")
    resolved = resolve_config(path, ["lora_r=16", " batch_size = 2"])
    assert resolved.config == Config(num_epochs=5, seeds=(1, 2), lora_r=16, batch_size=2)
    assert resolved.origins["num_epochs"] == f"{path}:2"
    assert resolved.origins["seeds"] == f"{path}:4"
    assert resolved.origins["lora_r"] == "--set lora_r=16"
    assert resolved.origins["lora_alpha"] == "default"
    assert list(resolved.origins) == list(Config.model_fields)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("learning_rate=2e-4", "learning_rate", 2e-4),
        ("class_names=[no, yes]", "class_names", ("no", "yes")),
        ("seeds=[7]", "seeds", (7,)),
        ("model_revision=null", "model_revision", None),
        ("train_file=my data: train.jsonl", "train_file", Path("my data: train.jsonl")),
        ("prompt_template=[INST] {a} = b [/INST]", "prompt_template", "[INST] {a} = b [/INST]"),
        ("output_dir='2024'", "output_dir", Path("2024")),
        ("use_bf16=false", "use_bf16", False),
    ],
)
def test_set(override, key, value):
    assert getattr(load_config(None, [override]), key) == value


def test_the_last_set_wins():
    assert load_config(None, ["lora_r=2", "lora_r=3"]).lora_r == 3


def test_every_problem_at_once_each_with_its_line(write):
    path = write("num_epoch: 3\nbatch_size: 0\nseeds: [1, 1]\nuse_bf16: yes\nclass_names: [a, b, c]\nnum_labels: 2\n")
    found = problems(path, "lora_r=x", "nonsense")
    assert found == [
        "--set nonsense: write it as key=value",
        f"{path}:2: batch_size: must be greater than or equal to 1, found 0",
        "--set lora_r=x: lora_r: must be an integer, found 'x'",
        f"{path}:4: use_bf16: must be a boolean, found 'yes'",
        f"{path}:1: num_epoch: unknown key; did you mean 'num_epochs'?",
        f"{path}:3: seeds: 1 given more than once; a member is its seed, so give each once",
        f"{path}:5: class_names: 3 names for num_labels 2; give one a class",
    ]


def test_a_contradiction_with_a_wrong_key_is_not_told_twice(write):
    path = write("num_labels: 1\nclass_names: [a, b, c]\n")
    assert problems(path) == [f"{path}:1: num_labels: must be greater than or equal to 2, found 1"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora_layers=[]", "lora_layers: must hold at least 1, found []"),
        ("lora_target_modules=[q_prj]", "lora_target_modules[0]: must be 'q_proj', 'k_proj', "),
        ("seeds=[1, a]", "seeds[1]: must be an integer, found 'a'"),
        ("seeds=5", "seeds: must be a list, found 5"),
        ("output_dir=2024", "output_dir: must be a path (quote one that looks like a number), found 2024"),
        ("id_column=''", "id_column: must not be empty; delete the line, or write null where that is allowed, found"),
        ("device=gpu", r"device: must match ^(auto|cpu|cuda(:\d+)?)$, found 'gpu'"),
        ("weight_decay=true", "weight_decay: must be a number, found True"),
        ("learning_rate=.nan", "learning_rate: must be a finite number, found nan"),
        ("learning_rate=1e400", "learning_rate: must be a finite number, found inf"),
        ("num_epochs=2.5", "num_epochs: must be an integer, found 2.5"),
        (f"device={'x' * 500}", "device: must match"),
        ("=3", ": unknown key"),
        ("zzzz=3", "zzzz: unknown key; `ensemble-uq init` lists the known ones"),
    ],
)
def test_messages_say_what_to_write(override, message):
    [found] = problems(None, override)
    given = override if len(override) <= LONGEST_ORIGIN else f"{override[:LONGEST_ORIGIN]}..."
    assert found.startswith(f"--set {given}: {message}")
    assert "pydantic" not in found.lower()
    assert "tuple" not in found.lower()


@pytest.mark.parametrize("key", Config.model_fields)
def test_a_mistyped_key_is_told_with_its_line_and_the_right_one(write, key):
    for place in range(len(key)):
        typo = key[:place] + key[place + 1 :]
        path = write(f"\n{typo}: 1\n")
        assert problems(path) == [f"{path}:2: {typo}: unknown key; did you mean {key!r}?"]


def test_broken_yaml_and_a_wrong_set_are_told_together(write):
    path = write("a: [1\n")
    assert problems(path, "lora_r=0") == [
        f"{path}:2: not valid YAML at column 1: expected ',' or ']', but got '<stream end>'",
        "--set lora_r=0: lora_r: must be greater than or equal to 1, found 0",
    ]


def test_a_key_twice_is_refused(write):
    path = write("lora_r: 2\nlora_r: 3\n")
    assert problems(path) == [f"{path}:2: lora_r: given twice, first on line 1; keep one of them"]


def test_a_missing_file_and_the_near_one(write, tmp_path):
    write("", name="config.yaml")
    [found] = problems(tmp_path / "confg.yaml")
    assert (
        found == f"{tmp_path / 'confg.yaml'}: there is no such file; did you mean 'config.yaml'?; "
        "`ensemble-uq init` writes one"
    )
    assert problems(tmp_path / "nowhere" / "c.yaml")


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "utf16.yaml").write_text("lora_r: 2", encoding="utf-16")
    assert problems(tmp_path / "utf16.yaml") == [
        f"{tmp_path / 'utf16.yaml'}: not UTF-8 text (byte 0); save it as UTF-8"
    ]


def test_a_run_folder_stands_for_its_yaml_wherever_it_lies(tmp_path):
    run = tmp_path / "2024"
    run.mkdir()
    assert problems(run) == [f"{run}: a folder without config.yaml, so not a run; name a YAML file or a run folder"]
    (run / "config.yaml").write_text("lora_r: 2\noutput_dir: elsewhere\n", encoding="utf-8")
    assert load_config(run) == Config(lora_r=2, output_dir=run)
    assert load_config(run, ["output_dir=there"]).output_dir == Path("there")
    assert resolve_config(run).origins["output_dir"] == str(run)
    assert resolve_config(run).origins["lora_r"] == f"{run / 'config.yaml'}:1"


def test_a_byte_order_mark_and_windows_line_ends_are_no_problem(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbflora_r: 2\r\nnum_epochs: 4\r\n")
    assert load_config(path) == Config(lora_r=2, num_epochs=4)


def test_the_template_is_the_defaults_and_documents_every_key(write):
    text = commented_template()
    assert load_config(write(text)) == Config()
    lines = text.splitlines()
    for key, field in Config.model_fields.items():
        [line] = [number for number, line in enumerate(lines) if line.startswith(f"{key}: ")]
        assert lines[line - 1] == f"# {field.description}"


@given(
    names=st.lists(WORDS, min_size=2, max_size=4, unique=True),
    text=WORDS,
    rate=st.floats(min_value=SMALLEST, max_value=LARGEST),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4, unique=True),
)
def test_what_is_written_is_read_back(tmp_path_factory, names, text, rate, seeds):
    assume(names_problem(names) is None)
    config = Config(
        num_labels=len(names),
        class_names=tuple(names),
        model_name=text,
        model_revision=text,
        prompt_template=text,
        train_file=None if path_problem(text) else Path("data") / text,
        learning_rate=rate,
        seeds=tuple(seeds),
        lora_layers=(0, 3),
    )
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(config_to_yaml(config), encoding="utf-8", newline="")
    assert load_config(path) == config


@given(override=st.text(), key=st.sampled_from(sorted(Config.model_fields)), value=st.text())
def test_wild_overrides_are_never_anything_but_a_config_error(override, key, value):
    for each in (override, f"{key}={value}"):
        with contextlib.suppress(ConfigError):
            load_config(None, [each])


def test_a_runs_configuration_works_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    config = with_absolute_paths(Config(model_name="model", train_file="a.csv", validation_file="b.csv"))
    assert config.model_name == str(tmp_path / "model")
    assert (config.train_file, config.validation_file) == (tmp_path / "a.csv", tmp_path / "b.csv")
    named = Config(model_name="meta-llama/Llama-3.2-1B")
    assert with_absolute_paths(named) == named
