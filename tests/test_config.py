import math

import pytest
from pydantic import ValidationError

from ensemble_uq_llm.config import SKIP_CROSS_CHECKS, Config
from ensemble_uq_llm.config_problems import cross_problems
from ensemble_uq_llm.errors import ConfigError
from specification import SPECIFIED

OTHER_DEFAULTS = {"num_ensemble_models", "num_gpus"}
"""Where a key that is not given means what is there: all seeds, one GPU."""
DEFAULTS = {key: value for key, value in SPECIFIED.items() if key not in OTHER_DEFAULTS}

OUT_OF_RANGE = {
    "num_labels": [1, 0, -2, 2.0, True, "2", None],
    "max_length": [0, -1, 1.5],
    "batch_size": [0, 2.5, False],
    "gradient_accumulation_steps": [0],
    "num_epochs": [0],
    "warmup_steps": [-1, 0.5],
    "learning_rate": [0, -1e-4, math.nan, math.inf, "fast", True, None],
    "weight_decay": [-0.1, math.nan, False],
    "prior_precision": [-1, math.nan, math.inf],
    "max_grad_norm": [-1, math.inf],
    "lora_r": [0],
    "lora_alpha": [0, -1],
    "lora_dropout": [1.0, -0.1, math.nan],
    "calibration_fraction": [1.0, -0.5],
    "lora_target_modules": [(), ("qproj",), "q_proj", None],
    "lora_layers": [(), (-1,), (0.5,)],
    "seeds": [(), 42, (-1,), (2**63,), (1.0,), ("42",)],
    "num_ensemble_models": [0],
    "bootstrap_draws": [99],
    "device": ["gpu", "cuda:", "cuda:x", "", "cpu:0"],
    "num_gpus": [-1],
    "keep": ["first", None],
    "early_stopping_patience": [0, 1.5],
    "stopping_fraction": [0, 1.0, None],
    "bootstrap": ["ordinary", True],
    "bootstrap_out": [0, 0.009, 1.0, None],
    "class_weights": ["even", (1, 0), (1, -1), (1, math.nan), (1, "a"), 3, True],
    "tokens_per_pass": [0],
    "model_name": ["", None, 7],
    "class_names": [("a", ""), "no"],
    "use_bf16": [1, "true", None],
    "output_dir": [2024, None],
}

CONTRADICTIONS = {
    "a seed twice": ({"seeds": (1, 2, 1)}, ("seeds",), "seeds: 1 given more than once"),
    "more members than seeds": (
        {"num_ensemble_models": 3, "seeds": (1, 2)},
        ("num_ensemble_models", "seeds"),
        "num_ensemble_models: 3 members need as many seeds, and `seeds` has 2",
    ),
    "one member with rows left out": (
        {"bootstrap": "balanced", "num_ensemble_models": 1},
        ("bootstrap", "seeds", "num_ensemble_models"),
        "bootstrap: leaves each row out of some members and in the others, and there is one member; give two seeds",
    ),
    "a name too many": (
        {"class_names": ("a", "b", "c"), "num_labels": 2},
        ("class_names", "num_labels"),
        "class_names: 3 names for num_labels 2",
    ),
    "a name twice": ({"class_names": ("a", "a")}, ("class_names",), "class_names: a given more than once"),
    "a module twice": (
        {"lora_target_modules": ("q_proj", "q_proj")},
        ("lora_target_modules",),
        "lora_target_modules: q_proj given more than once",
    ),
    "the best of nothing": (
        {"keep": "best"},
        ("keep", "calibration_fraction"),
        "keep: best chooses by a part of the calibration split, and nothing is held out; set calibration_fraction",
    ),
    "patience without a choice": (
        {"early_stopping_patience": 2, "calibration_fraction": 0.2},
        ("early_stopping_patience", "keep"),
        "early_stopping_patience: stops by a member's best epoch, which is kept with keep: best only",
    ),
    "a weight too many": (
        {"class_weights": (1, 2, 3)},
        ("class_weights", "num_labels"),
        "class_weights: 3 weights for num_labels 2; give one a class",
    ),
    "a layer twice": ({"lora_layers": (0, 0)}, ("lora_layers",), "lora_layers: 0 given more than once"),
    "half a task of one's own": (
        {"dataset": "synthetic", "train_file": "t.jsonl"},
        ("train_file", "validation_file"),
        "train_file and validation_file: give both or neither",
    ),
    "a cut that is not in the prompt": (
        {"cut_column": "context"},
        ("cut_column", "prompt_template"),
        "cut_column: 'context' does not stand in prompt_template",
    ),
}


def test_the_specified_values_are_the_defaults():
    assert {key: getattr(Config(), key) for key in DEFAULTS} == DEFAULTS


def test_a_config_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Config().num_epochs = 4


def test_unknown_keys_are_refused():
    with pytest.raises(ConfigError, match="lerning_rate"):
        Config(lerning_rate=1e-3)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in OUT_OF_RANGE.items() for value in values])
def test_values_that_cannot_be_are_refused(key, value):
    with pytest.raises(ConfigError, match=key):
        Config(**{key: value})


@pytest.mark.parametrize("text", ["2e-4", "0.0002"])
def test_a_number_that_another_yaml_reader_left_as_text_is_read(text):
    assert Config(learning_rate=text).learning_rate == 2e-4


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "cuda:12"])
def test_devices(device):
    assert Config(device=device).device == device


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_keys_that_do_not_fit_together(case):
    values, keys, message = CONTRADICTIONS[case]
    with pytest.raises(ConfigError, match=message.partition(":")[0]):
        Config(**values)
    config = Config.model_validate(values, context=SKIP_CROSS_CHECKS)
    [(found_keys, found)] = cross_problems(config)
    assert found_keys == keys
    assert found.startswith(message)


def test_the_largest_seed():
    assert Config(seeds=(2**63 - 1, 0)).member_seeds == (2**63 - 1, 0)


def test_all_contradictions_are_told_together():
    with pytest.raises(ConfigError, match=r"seeds: 1 given.*class_names: 3 names"):
        Config(seeds=(1, 1), num_labels=2, class_names=("a", "b", "c"))


@pytest.mark.parametrize("number", [1, 2, 3, None])
def test_members_are_the_first_seeds(number):
    config = Config(seeds=(7, 8, 9), num_ensemble_models=number)
    assert config.member_seeds == (7, 8, 9)[: number or 3]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({}, ("no", "yes")),
        ({"num_labels": 3}, ("0", "1", "2")),
        ({"num_labels": 3, "class_names": ("a", "b", "c")}, ("a", "b", "c")),
    ],
)
def test_class_labels(values, labels):
    assert Config(**values).class_labels == labels


def test_a_step_sees_the_accumulated_batch():
    assert Config(batch_size=3, gradient_accumulation_steps=5).effective_batch_size == 15


@pytest.mark.parametrize("key", Config.model_fields)
def test_every_key_is_documented_in_a_sentence(key):
    description = Config.model_fields[key].description
    assert description
    assert description.endswith(".")
    assert "\n" not in description
