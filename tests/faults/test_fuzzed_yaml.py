"""Configurations that no one would write: made by a grammar, or mutated from a right one, and given to the commands."""

import random
from pathlib import Path

import pytest

import judged as harness
from ensemble_uq_llm import config_file
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, load_config
from judged import judged, run

RIGHT = """\
# a comment
model_name: embedded
dataset: synthetic
prompt_template: "{question}"
max_train_examples: 8
max_validation_examples: 8
class_names: [no, yes]
num_epochs: 1
learning_rate: 2e-4
seeds: [42, 43]
lora_target_modules:
  - q_proj
  - v_proj
output_dir: run
use_bf16: false
"""
SMALL = ["model_name=embedded", "dataset=synthetic", "train_file=null", "validation_file=null", "device=cpu",
         "max_train_examples=8", "max_validation_examples=8", "use_bf16=false", "model_revision=null",
         "allow_unproven_model=false", "num_gpus=1", "warmup_steps=0"]  # fmt: skip
"""What keeps `validate` on this machine, and its honest work small."""

SCALARS = (
    "1", "0", "-1", "01", "1e5", "1e400", "-1e400", "5e-324", ".inf", ".nan", "1" + "0" * 30, "9" * 400, "9" * 5000,
    "yes", "no", "true", "null", "~", "", "''", '"\\0"', '"\\ud800"', '"\\u202e"', '"\\e[31m"', "é", "😀",
    "\uff11", "\ufeff",
    "{question}", "'{question!r}'", "'{question:>9}'", "'{a.b}'", "'{{'", "'{'", "x" * 5000, "embedded", "synthetic",
    "from_data", "balanced", "best", "cpu", "cuda:99", "/dev/zero", "/dev/null/x", "~nosuchuser", "..", "/",
)  # fmt: skip
CHUNKS = (
    "&a ", "*a", "!!int ", "!!python/object:os.system ", "<<: ", "? ", ": ", "- ", "[", "]", "{", "}", "|", ">", "'",
    '"', "#", "%YAML 3.0\n", "---\n", "...\n", "\t", "\0", "\x07", "\x85", "\u2028", "\ufeff", "\r", "\n\n", "@", "`",
    "[" * 200, "- " * 200, "lora_r: 1\n", "a: b: c\n", "\\", "1e400", "9" * 5000,
)  # fmt: skip


def value_of(chance: random.Random) -> str:
    if chance.random() < 0.6:
        return chance.choice(SCALARS)
    items = [chance.choice(SCALARS) for _ in range(chance.choice((0, 1, 2, 3, 40)))]
    if chance.random() < 0.2:
        items.append("{a: [1]}")
    return f"[{', '.join(items)}]" if chance.random() < 0.5 else "".join(f"\n  - {item}" for item in items)


def by_grammar(chance: random.Random) -> bytes:
    """Return lines of our keys, or nearly ours, with any value."""
    lines = []
    for _ in range(chance.randint(0, 6)):
        key = chance.choice(sorted(Config.model_fields))
        if chance.random() < 0.1:
            key = key.replace(chance.choice(key), chance.choice(("", "X", "é", '"', " ")), 1)
        lines.append(f"{key}: {value_of(chance)}")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def by_mutation(chance: random.Random) -> bytes:
    """Return a right file with some places changed."""
    content = bytearray(RIGHT.encode())
    for _ in range(chance.randint(1, 4)):
        place, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
        how = chance.randrange(6)
        if how == 0 and place < len(content):
            content[place] ^= 1 << chance.randrange(8)
        elif how == 1:
            content[place:place] = chance.choice(CHUNKS).encode("utf-8", "surrogatepass")
        elif how == 2:
            del content[place : min(end, place + 20)]
        elif how == 3:
            content[place:place] = content[place : min(end, place + 60)]
        elif how == 4:
            lines = content.split(b"\n")
            chance.shuffle(lines)
            content = bytearray(b"\n".join(lines))
        elif chance.random() < 0.2:
            del content[place:]
    return bytes(content)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_back(path: Path) -> None:
    config = load_config(path)
    written = path.with_suffix(".written.yaml")
    written.write_text(config_to_yaml(config), encoding="utf-8", newline="")
    assert load_config(written) == config


@pytest.mark.filterwarnings("ignore")
def test_any_yaml_is_a_configuration_or_an_error(in_folder, rounds, tally):
    number, chance, loaded = rounds(500, 20_000), random.Random(11), 0
    options = [word for each in SMALL for word in ("--set", each)]
    path = in_folder / "fuzzed.yaml"
    path.write_text(RIGHT, encoding="utf-8")
    assert run(["train", str(path), *options, "--dry-run", "--json"]).code == 0  # and everything is imported
    for turn in range(number):
        path.write_bytes(by_grammar(chance) if turn % 2 else by_mutation(chance))
        if judged(["config", str(path), "--json"], codes=(0, 2)).code == 0:
            loaded += 1
            read_back(path)
        if turn % 10 == 0:
            judged(["validate", str(path), *options, "--json"])
        if turn % 100 == 0:
            judged(["train", str(path), *options, "--dry-run", "--json"], seconds=10)  # it takes a real step
    assert number / 50 < loaded < number / 2  # neither all wrong nor all right: both ways are walked
    tally(f"{number} of {number} fuzzed YAMLs end in 0, 2 or 3; {loaded} load, and are read back equal")


def test_any_override_is_a_value_or_an_error(in_folder, rounds, tally):
    number, chance = rounds(200, 5_000), random.Random(12)
    (in_folder / "c.yaml").write_text("lora_r: 4\n", encoding="utf-8")
    for _ in range(number):
        text = f"{chance.choice(sorted(Config.model_fields))}={value_of(chance)}"
        place = chance.randrange(len(text) + 1)
        text = text[:place] + chance.choice((*CHUNKS, "", "\udcff", "=")) + text[place:]
        judged(["config", "c.yaml", "--set", text, "--json"], codes=(0, 2))
    tally(f"{number} of {number} fuzzed overrides end in 0 or 2")


def crash(*_, **__):
    raise KeyError("planted")


def exit_by_itself(*_, **__):
    raise SystemExit(1)


def take_time(*_, **__):
    sum(range(2_000_000))
    return {}, []


def take_memory(*_, **__):
    assert bytearray(300 << 20).count(1) == 0
    return {}, []


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [
        (crash, "planted"),
        (exit_by_itself, "^exit 1 of"),
        (take_time, r"^\d.\d s for"),
        (take_memory, r"^\d+ MB for"),
    ],
)
def test_the_judge_notices(in_folder, monkeypatch, fault, noticed):
    (in_folder / "c.yaml").write_text(RIGHT, encoding="utf-8")
    arguments = ["config", "c.yaml", "--json"]
    assert judged(arguments, codes=(0,), seconds=60).code == 0
    monkeypatch.setattr(config_file, "parse_flat_yaml", fault)
    with pytest.raises((AssertionError, KeyError), match=noticed):
        judged(arguments, seconds=0.01 if fault is take_time else 60)


def test_the_judge_notices_a_wait_and_an_endless_message(in_folder, monkeypatch):
    (in_folder / "c.yaml").write_text("a: 1\n", encoding="utf-8")
    monkeypatch.setattr(harness, "MESSAGE", 10)
    with pytest.raises(AssertionError, match=r"^a message of \d+ characters"):
        judged(["config", "c.yaml"])
    monkeypatch.setattr(harness, "WAIT", 0.1)
    monkeypatch.setattr(config_file, "parse_flat_yaml", lambda *_, **__: __import__("time").sleep(5))
    with pytest.raises(pytest.fail.Exception, match="still waiting"):
        judged(["config", "c.yaml"])
