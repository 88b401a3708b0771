"""Expressions are tried in a bounded time, as PEFT completes them."""

import time

import pytest

from ensemble_uq_llm.models.lora import peft_expressions
from ensemble_uq_llm.models.lora.peft_expressions import SECONDS, endless_expression

NAMES = [f"model.layers.{index}.self_attn.q_proj" for index in range(32)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"target_modules": "all-linear", "modules_to_save": ["score"], "rank_pattern": {"layers.0.q_proj": 2}},
        {"target_modules": ["q_proj", "v_proj"], "layers_pattern": None},
    ],
)
def test_plain_names_need_no_trial(settings, monkeypatch):
    monkeypatch.setattr(peft_expressions, "_end", lambda *_: pytest.fail("a process was started"))
    assert endless_expression(settings, NAMES) is None


@pytest.mark.parametrize(
    "expression", [r".*self_attn\.(q|v)_proj", r"^(?!.*vision).*\.layers\.[0-9]+\..*$", "*(", "(" * 200]
)
def test_expressions_that_end_pass_and_so_do_those_that_are_none(expression):
    assert endless_expression({"target_modules": expression}, NAMES) is None


@pytest.mark.parametrize("expression", ["(.*)*Z", "(a|.)*(a|.)*(a|.)*(a|.)*(a|.)*Z"])
@pytest.mark.parametrize("key", ["target_modules", "exclude_modules"])
def test_an_endless_expression_is_found_in_time(key, expression):
    began = time.monotonic()
    assert endless_expression({key: expression}, NAMES) == key
    assert time.monotonic() - began < 30 * SECONDS


@pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern", "layers_pattern", "modules_to_save"])
def test_the_other_keys_are_completed_as_peft_does(key):
    value = {"(.*)*Z": 2} if key.endswith("_pattern") and key != "layers_pattern" else ["(.*)*Z"]
    assert endless_expression({key: value}, NAMES) == key
