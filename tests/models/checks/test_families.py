"""Which model types are taken: a table that is proved, reasons for the others, never a traceback."""

import pytest
import transformers
from transformers import CONFIG_MAPPING

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.families import OBSTACLES, PROVEN, check_family
from tiny_models import tiny_config


@pytest.mark.parametrize("kind", PROVEN)
def test_types_of_the_table_pass(kind):
    check_family(CONFIG_MAPPING[kind](), allow_unproven=False)


@pytest.mark.parametrize("kind", OBSTACLES)
def test_known_obstacles_are_said_whatever_is_allowed(kind):
    for allowed in (False, True):
        with pytest.raises(ModelError, match=f"model_name: {kind} cannot be computed in packs: .*name a model of one"):
            check_family(CONFIG_MAPPING[kind](), allow_unproven=allowed)


@pytest.mark.parametrize("kind", ["mixtral", "gpt2", "bert", "opt", "deepseek_v2"])
def test_other_types_are_refused_with_the_table_or_left_to_the_comparison(kind):
    settings = CONFIG_MAPPING[kind]()
    message = f"model_name: {kind} is not among .*, llama, .*; .* set allow_unproven_model: true to have it compared"
    with pytest.raises(ModelError, match=message):
        check_family(settings, allow_unproven=False)
    check_family(settings, allow_unproven=True)


def test_encoder_decoders_are_refused():
    with pytest.raises(ModelError, match="t5 is an encoder-decoder; a causal decoder is needed"):
        check_family(transformers.T5Config(), allow_unproven=True)


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_bidirectional_attention_is_refused(family):
    with pytest.raises(ModelError, match=f"this {family} has bidirectional attention"):
        check_family(tiny_config(family, use_bidirectional_attention=True), allow_unproven=True)


def test_attention_that_is_said_not_to_be_causal_is_refused():
    with pytest.raises(ModelError, match="this llama has bidirectional attention"):
        check_family(tiny_config(is_causal=False), allow_unproven=True)


def test_layers_of_another_kind_are_refused():
    settings = tiny_config("olmo3")
    settings.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(ModelError, match="this olmo3 has linear_attention layers"):
        check_family(settings, allow_unproven=False)
