"""Values, files and words of the command line that would overflow, hang, or mean something else: each by name."""

import os
import socket
from pathlib import Path

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, load_config
from ensemble_uq_llm.data.classes import with_classes
from ensemble_uq_llm.data.prompts import MOST_FIELDS, default_cut_column, parse_template
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.labels.class_keys import LONGEST_CLASS_NAME, MOST_CLASSES, MOST_LETTERS
from ensemble_uq_llm.labels.class_names import ClassNames, NotAClassError
from ensemble_uq_llm.utils.flat_yaml import MAX_CHARACTERS, MAX_NODES
from ensemble_uq_llm.utils.key_types import (
    LARGEST,
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_DRAWS,
    MOST_LAYERS,
    MOST_MEMBERS,
    SMALLEST,
)
from judged import judged

COUNTS = [
    "num_labels", "max_length", "max_train_examples", "max_validation_examples", "batch_size", "num_epochs", "lora_r",
    "gradient_accumulation_steps", "warmup_steps", "early_stopping_patience", "num_ensemble_models", "bootstrap_draws",
    "num_gpus", "tokens_per_pass", "calibration_seed", "bootstrap_seed",
]  # fmt: skip
NUMBERS = [
    "learning_rate", "weight_decay", "max_grad_norm", "lora_alpha", "lora_dropout", "calibration_fraction",
    "stopping_fraction", "bootstrap_out",
]  # fmt: skip
PATHS = ["output_dir", "cache_dir", "train_file", "validation_file"]


def listing(key: str, items: list[str]) -> str:
    return f"{key}: [{', '.join(items)}]\n"


def told(text: str) -> str:
    """Return what is said of a YAML that is refused."""
    Path("c.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    return judged(["config", "c.yaml"], codes=(2,)).error


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


MANY = 60_000
BIG = {
    "unknown keys": ("".join(f"zkey_{i}: 1\n" for i in range(MANY)), f"holds more than {MAX_NODES:,} values"),
    "near keys": ("".join(f"num_epochs{i}: 1\n" for i in range(12_000)), "and 11,950 problems more"),
    "one key, always": ("lora_r: 1\n" * 12_000, "and 11,949 problems more"),
    "nested values": ("".join(f"a{i}: {{b: 1}}\n" for i in range(MANY)), f"holds more than {MAX_NODES:,} values"),
    "seeds": (listing("seeds", [*map(str, range(100_000))]), f"seeds: with it the file holds more than {MAX_NODES:,}"),
    "fewer seeds": (listing("seeds", [*map(str, range(20_000))]), f"seeds: must hold at most {MOST_MEMBERS:,}"),
    "one seed, always": (listing("seeds", ["5"] * 1_000), "seeds: 5 given more than once"),
    "seeds twice": (listing("seeds", [str(i // 2) for i in range(1_000)]), "10, 11 and 488 more given more than once"),
    "wrong seeds": (listing("seeds", ["x"] * 1_000), "and 950 problems more"),
    "layers": (listing("lora_layers", ["1"] * 20_000), f"lora_layers: must hold at most {MOST_LAYERS:,}"),
    "modules": (listing("lora_target_modules", ["q"] * 20_000), "problems more"),
    "weights": (listing("class_weights", ["1"] * 20_000), f"class_weights: must hold at most {MOST_CLASSES:,}"),
    "names": (listing("class_names", [f"n{i}" for i in range(20_000)]), f"must hold at most {MOST_CLASSES:,}"),
    "letters": (listing("class_names", [f"{i:0200}n" for i in range(4_000)]), f"there may be {MOST_LETTERS:,} at most"),
    "a long key": (f"? {'num_epochs' * 90_000}\n: 1\n", "unknown key"),
    "a long text": (f"model_name: {'x' * 900_000}\n", "model_name: must have at most 4,095 characters"),
    "a long template": (f"prompt_template: '{'{question} ' * 90_000}'\n", f"at most {LONGEST_TEXT:,} characters"),
    "comments": ("# x\n" * MAX_CHARACTERS, f"larger than {MAX_CHARACTERS:,} characters"),
    "a long tag": (f"a: !{'x' * 900_000} 1\n", "tags are not allowed here"),
    "digits": (f"lora_r: {'9' * 900_000}\n", "lora_r: the number has too many digits"),
    "an exponent": (f"lora_alpha: 1e{'9' * 100_000}\n", "lora_alpha: must be a finite number"),
    "brackets": (f"a: {'[' * 100_000}", "nested too deeply"),
    "an alias bomb": ("a: &a [x]\nb: [*a, *a]\n", "anchors and aliases"),
    "a merge key": ("<<: {lora_r: 1}\n", "not a nested mapping"),
    "a NUL": ("lora_r: \0\n", "the character '\\x00' is not allowed"),
    "half a character": ("model_name: \ud800\n", "not UTF-8 text"),
    "half a character as a key": ('"\\ud800": 1\n', "unknown key"),
    "half a character, escaped": ('model_name: "\\ud800"\n', "must be text without halves of characters"),
}


@pytest.mark.parametrize("name", BIG)
def test_much_of_anything_is_refused_in_few_words_and_little_time(name):
    text, message = BIG[name]
    assert message in told(text)


@pytest.mark.parametrize("key", COUNTS)
@pytest.mark.parametrize("digits", [19, 30, 400, 4_000])
def test_integers_beyond_all_use_are_refused_by_their_key(key, digits):
    message = told(f"{key}: {'1' + '0' * digits}\n")
    assert f"c.yaml:1: {key}: must be less than" in message


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["1" + "0" * 400, "1e400", "1e39", "3.4e38", "1e-39", "5e-324", ".nan", "-.inf"])
def test_numbers_that_float32_cannot_hold_are_refused(key, value):
    assert f"c.yaml:1: {key}: must be" in told(f"{key}: {value}\n")


@pytest.mark.parametrize("value", [SMALLEST, LARGEST])
def test_the_extremes_of_what_it_holds_are_taken(value):
    assert Config(learning_rate=value).learning_rate == value


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("''", "must not be empty"),
        ('"a\\0b"', "must not hold the character NUL"),
        ('"a\\ud800b"', "must be UTF-8; rename it"),
        ("/".join(["a" * 200] * 25), "must have at most 4,095 bytes"),
        ("x" * 256, "must not hold a name of more than 255 bytes"),
        ("é" * 128, "must not hold a name of more than 255 bytes"),
        ("~nosuchuser/x", "must not begin with ~ where there is no such user; write the path in full"),
    ],
)
def test_paths_that_no_file_can_have(key, value, problem):
    assert f"{key}: {problem}, found" in told(f"{key}: {value}\n")
    assert problem in judged(["config", "--set", f"{key}={value}"], codes=(2,)).error


def test_what_is_no_file_is_never_read(tmp_path):
    os.mkfifo("pipe.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.yaml")
        Path("run").mkdir()
        os.mkfifo("run/config.yaml")
        Path("loop").symlink_to("loop")
        Path("gone").symlink_to("nowhere")
        Path("zero.yaml").symlink_to("/dev/zero")
        expected = {
            "/dev/zero": "not a file but a device", "/dev/full": "not a file but a device",
            "/dev/urandom": "not a file but a device", "/dev/null": "not a file but a device",
            "zero.yaml": "not a file but a device", "pipe.yaml": "not a file but a pipe",
            "socket.yaml": "not a file but a socket", "run": "not a file but a pipe", "loop": "cannot be read",
            "gone": "there is no such file", str(tmp_path): "a folder without config.yaml",
        }  # fmt: skip
        for command in ("config", "validate", "train", "run", "predict"):
            for file, message in expected.items():
                assert message in judged([command, file], codes=(2,)).error


def test_a_file_of_10_gb_is_not_read_whole():
    with Path("big.yaml").open("wb") as file:
        file.write(b"lora_r: 2\n")
        file.truncate(10 << 30)
    assert f"larger than {MAX_CHARACTERS:,} characters" in judged(["config", "big.yaml"], codes=(2,)).error


@pytest.mark.parametrize("word", ["", "\0", "a\udcff", "x" * 5_000, "~nosuchuser"])
@pytest.mark.parametrize(
    "command",
    [["config"], ["evaluate"], ["report"], ["compare", "a"], ["init"], ["doctor"], ["demo", "--output-dir"],
     ["predict", "--adapter"], ["evaluate", "x.parquet", "--calibration"], ["evaluate", "x.parquet", "--output"]],
)  # fmt: skip
def test_words_that_are_no_path(command, word):
    assert "Invalid value for" in judged([*command, word], codes=(2,)).error


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("", "--set : write it as key=value"),
        ("x" * 1_000_000, "x...: write it as key=value"),
        (f"lora_r={'x' * 1_000_000}", "x...: lora_r: must be an integer"),
        (f"{'k' * 1_000_000}=1", "unknown key"),
        ("lora_r=\udcff", "lora_r: must be an integer"),
        ("\udcff=1", "unknown key"),
        ("model_name=\udcff", "model_name: must be text without halves of characters"),
        ("output_dir=\udcff", "output_dir: must be UTF-8"),
        (f"seeds={'[' * 100_000}", "seeds: must be a list"),
        ("lora_r=!!int 3", "lora_r: must be an integer"),
    ],
)
def test_overrides_that_are_none(override, message):
    assert message in judged(["config", "--set", override], codes=(2,)).error


@pytest.mark.parametrize("option", ["--draws", "--seed"])
@pytest.mark.parametrize("value", ["", "x", "-1", "1e3", "1" + "0" * 30, "1" + "0" * 5_000])
@pytest.mark.parametrize("command", [["evaluate", "a.csv"], ["compare", "a.csv", "b.csv"]])
def test_options_of_a_wrong_type_or_size(command, option, value):
    assert f"Invalid value for '{option}'" in judged([*command, option, value], codes=(2,)).error


def test_draws_are_bounded_as_in_the_configuration():
    assert f"at most {MOST_DRAWS:,}" in judged(["compare", "a", "b", "--draws", str(MOST_DRAWS + 1)], codes=(2,)).error


LOOK_ALIKE = [
    '["01", "1"]', "[01, 1]", "[1e5, 100000]", "[1.0, 1]", "[1.50, 1.5]", '["1", "\uff11"]', '[a, "a "]',
    '["a b", "a  b"]', '["\u00e9", "e\u0301"]', "[-0, 0]", "[True, 'true']", "[1e22, 10000000000000000000000]",
]  # fmt: skip


@pytest.mark.parametrize("names", LOOK_ALIKE)
def test_names_that_a_reader_takes_for_one_are_refused(names):
    message = told(f"class_names: {names}\n")
    assert "look alike" in message or "two spellings of one label" in message or "more than once" in message


@pytest.mark.parametrize(
    "letter", ["\\0", "\\e", "\\n", "\\u202e", "\\u2066", "\\u200b", "\\ufeff", "\\u00a0", "\\u00ad"]
)
def test_names_with_invisible_letters_are_refused(letter):
    assert "class_names[0]: must be visible" in told(f'class_names: ["a{letter}b", c]\n')


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("[01, 2]", ("01", "2")),
        ("[1e5, 0.50]", ("1e5", "0.50")),
        ("[yes, no]", ("yes", "no")),
        ("[+1, 0x10]", ("+1", "0x10")),
        ("[.inf, .nan]", (".inf", ".nan")),
        ("[\u0645\u06cc\u200c\u062e, a]", ("\u0645\u06cc\u200c\u062e", "a")),
        ("[a, A]", ("a", "A")),
    ],
)
def test_a_class_is_named_as_it_is_written(names, expected):
    Path("c.yaml").write_text(f"class_names: {names}\n", encoding="utf-8")
    config = load_config("c.yaml")
    assert config.class_names == load_config(None, [f"class_names={names}"]).class_names == expected
    Path("again.yaml").write_text(config_to_yaml(config), encoding="utf-8")
    assert load_config("again.yaml") == config


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["a\u202eb", "c"], "must be visible"),
        (["1", "01"], "look alike"),
        (["x" * (LONGEST_CLASS_NAME + 1), "b"], "256"),
    ],
)
def test_classes_of_the_data_are_held_to_the_same(labels, problem):
    rows = "".join(f'{{"question": "q", "label": "{label}"}}\n' for label in labels)
    Path("t.jsonl").write_text(rows, encoding="utf-8")
    config = Config(train_file="t.jsonl", class_names="from_data", prompt_template="{question}")
    with pytest.raises(DataError, match=problem):
        with_classes(config)


def test_a_column_of_unknown_labels_takes_no_search_each():
    names = ClassNames([f"name {number}" for number in range(MOST_CLASSES)])
    names._hints = dict.fromkeys(map(str, range(100)), "")
    for number in range(1_000):
        with pytest.raises(NotAClassError, match=r"^$"):
            names.index_of(f"nam {number}")


def test_templates_are_read_in_linear_time():
    columns = " ".join(f"{{c{number}}}" for number in range(MOST_FIELDS))
    assert default_cut_column(columns) == f"c{MOST_FIELDS - 1}"
    with pytest.raises(ConfigError, match=f"257 columns in braces; at most {MOST_FIELDS} can be used"):
        parse_template(columns + "{x}")
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        parse_template("{a:" + "x" * 30_000 + "}")
    assert len(str(caught.value)) < 400


def test_the_largest_configuration_of_all_is_read_back():
    number = MOST_CLASSES
    longest = "\U000e0001" * LONGEST_NAME
    config = Config(
        model_name="\U000e0001" * 4_095, model_revision=longest, dataset=longest, cut_column=None,
        label_column=longest, id_column=longest, prompt_template="\U000e0001" * LONGEST_TEXT,
        class_names=tuple(f"'''{index:04}'''" for index in range(number)), num_labels=number,
        class_weights=tuple(1e-37 + index * 1.23456789e-37 for index in range(number)),
        seeds=tuple(range(2**63 - MOST_MEMBERS, 2**63)),
        lora_layers=tuple(range(10**9 - MOST_LAYERS, 10**9)),
        **dict.fromkeys(PATHS, "/".join(["\x01" * 255] * 15)),
    )  # fmt: skip
    text = config_to_yaml(config)
    assert len(text) < MAX_CHARACTERS
    Path("c.yaml").write_text(text, encoding="utf-8", newline="")
    assert load_config("c.yaml") == config
