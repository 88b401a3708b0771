"""The configuration of a base: of every kind that users have, used or refused by name, its own code never run."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import CONFIG_MAPPING

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.attention.packed import PACKED_ATTENTION
from ensemble_uq_llm.models.base import load_decoder, load_skeleton
from ensemble_uq_llm.models.checks.base_config import parse_base_config, read_base_config
from ensemble_uq_llm.models.checks.settings_values import LARGEST
from tiny_models import save_tiny_llama


@pytest.fixture
def base(tmp_path) -> Path:
    return save_tiny_llama(tmp_path)


def changed(folder: Path, **changes) -> Path:
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in settings.items() if value is not ...}))
    return folder


def test_a_plain_configuration_is_read(base):
    assert read_base_config(base).model_type == "llama"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'"llama"', b"", b"\xff\xfe{", b"[" * 100_000], ids=lambda body: repr(body[:5])
)
def test_a_file_that_is_no_json_object_is_named(base, body):
    (base / "config.json").write_bytes(body)
    with pytest.raises(ModelError, match=f"the configuration in {re.escape(str(base))}/config.json cannot be used: "):
        parse_base_config(base)


@pytest.mark.parametrize("kind", [..., None, 3, ["llama"], ""])
def test_a_type_is_never_guessed(tmp_path, kind):
    folder = save_tiny_llama(tmp_path / "llama-mistral")  # transformers would guess from this name
    with pytest.raises(ModelError, match="model_type "):
        parse_base_config(changed(folder, model_type=kind))


def test_a_mistyped_type_gets_a_suggestion(base):
    with pytest.raises(ModelError, match=r"model_type 'lama' in .* is none that .* has; did you mean 'llama'"):
        parse_base_config(changed(base, model_type="lama"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "'bitsandbytes'"),
        ({"quant_method": "gptq", "bits": 4}, "'gptq'"),
        ({"quant_method": "awq", "bits": 4}, "'awq'"),
        ({"quant_method": "fp8"}, "'fp8'"),
        ({"load_in_8bit": True}, "'quantization_config'"),
        ("nf4", "'nf4'"),
    ],
    ids=str,
)
def test_quantised_bases_are_refused_with_their_method(base, settings, named):
    with pytest.raises(ModelError, match=rf"weights are quantised \({named}\), which is not supported; name the model"):
        parse_base_config(changed(base, quantization_config=settings))


def test_a_quantisation_that_is_null_is_none(base):
    parse_base_config(changed(base, quantization_config=None))


@pytest.mark.parametrize("key", LARGEST)
@pytest.mark.parametrize("size", [0, -1, 2.5, "32", True, [32], 10**12], ids=str)
def test_impossible_sizes_are_named(base, key, size):
    with pytest.raises(ModelError, match=f"model_name: {key} in .* must be a whole number from 1 to .*, found "):
        parse_base_config(changed(base, **{key: size}))


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_sizes_must_not_be_null(base, key):
    with pytest.raises(ModelError, match=f"model_name: {key} in .*, found None"):
        parse_base_config(changed(base, **{key: None}))


@pytest.mark.parametrize("key", ["hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"])
def test_a_size_that_is_missing_does_not_fit_the_weights(base, key):
    """transformers takes the size of some 7-billion model in its place."""
    with pytest.raises(ModelError, match=r"model_name: .*(has shape .* should have|lacks weights: )"):
        load_decoder(changed(base, **{key: ...}), device=torch.device("cpu"), bf16=False)


@pytest.mark.parametrize("kind", ["embedding_gemma2_text", "dots3_note_text", "vit", "bert"])
def test_configurations_of_other_kinds_are_refused_and_never_a_traceback(tmp_path, kind):
    """The script `tools/model_types.py` tries all kinds that there are; some of these once were tracebacks."""
    CONFIG_MAPPING[kind]().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=rf"model_name: (this )?{kind} (is not among the model types|has \w+ layers)"):
        load_skeleton(tmp_path, bf16=True)


def test_heads_come_in_whole_groups(base):
    with pytest.raises(ModelError, match=r"num_attention_heads 4 in .* is not a multiple of num_key_value_heads 3"):
        parse_base_config(changed(base, num_key_value_heads=3))


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "no such"},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1.0}},
        {"rope_parameters": {"rope_type": "su", "rope_theta": 1.0}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}, "head_dim": 6},
        {"rms_norm_eps": "small"},
        {"pad_token_id": 10_000},
        {"dtype": "float99"},
        {"num_attention_heads": 5, "num_key_value_heads": 5},
        {"head_dim": 7},
        {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 8,
                             "short_factor": [1.0] * 3, "long_factor": [1.0] * 3}},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_what_transformers_trips_over_is_a_named_error(base, changes):
    with pytest.raises(ModelError, match="model_name: "):
        load_decoder(changed(base, **changes), device=torch.device("cpu"), bf16=False)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("hidden_size", 65, "hidden size (65) is not a multiple of the number of attention heads"),
        ("head_dim", 7, "`head_dim`=7"),
        ("rms_norm_eps", "small", "'rms_norm_eps' expected float, got str (value: 'small')"),
    ],
)
def test_the_reason_that_transformers_gives_is_said(base, key, value, reason):
    changed(base, **{key: value})
    with pytest.raises(ModelError, match=f"cannot be used: .*{re.escape(reason)}"):
        parse_base_config(base)


def test_an_adapter_beside_the_base_is_never_loaded_into_it(base):
    (base / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"holds a base and an adapter \(adapter_config\.json\).*move the adapter's"):
        parse_base_config(base)


OWN_CODE = "from pathlib import Path\nPath({!r}).touch()\nraise RuntimeError('it ran')\n"


@pytest.mark.parametrize("kind", ["llama", "own-kind"])
def test_a_bases_own_code_is_never_executed(base, tmp_path, kind):
    trace = tmp_path / "it-ran"
    (base / "own.py").write_text(OWN_CODE.format(str(trace)))
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel", "AutoTokenizer": ["own.Own", None]}
    changed(base, model_type=kind, auto_map=classes)
    if kind == "llama":
        with pytest.warns(UserWarning, match=r"code of its own \(auto_map\), which is never executed; .* own llama is"):
            load_decoder(base, device=torch.device("cpu"), bf16=False)
    else:
        with pytest.raises(ModelError, match=r"model_type 'own-kind' .*; its own code \(auto_map\) is never executed"):
            load_decoder(base, device=torch.device("cpu"), bf16=False)
    assert not trace.exists()


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
@pytest.mark.parametrize("wanted", ["flash_attention_2", "no such", "eager"])
def test_the_attention_that_a_configuration_asks_for_is_ignored(base, key, wanted):
    changed(base, **{key: wanted})
    for model in (load_decoder(base, device=torch.device("cpu"), bf16=False), load_skeleton(base, bf16=False)):
        assert model.config._attn_implementation == PACKED_ATTENTION


@pytest.mark.parametrize("name", ["foo", 3, ["silu"], {"name": "silu"}, "SILU"], ids=str)
def test_an_activation_that_transformers_has_not_is_named(base, name):
    with pytest.raises(ModelError, match=r"model_name: hidden_act in .*config\.json is .*, which is no activation"):
        parse_base_config(changed(base, hidden_act=name))


def test_a_misspelt_activation_is_put_right(base):
    with pytest.raises(ModelError, match="is 'sillu', which is no activation of transformers; did you mean 'silu'"):
        parse_base_config(changed(base, hidden_act="sillu"))


@pytest.mark.parametrize("key", ["get_text_config", "to_dict", "__class__", "attribute_map", "sub_configs"])
def test_a_key_that_is_part_of_the_code_is_refused(base, key):
    with pytest.raises(ModelError, match=rf"config\.json has the key '{key}', which is part of transformers' own code"):
        parse_base_config(changed(base, **{key: {"num_hidden_layers": "vocab_size"}}))


@pytest.mark.parametrize(
    "changes",
    [
        {"text_config": {"num_hidden_layers": 10**9}},
        {"model_type": "llava", "text_config": {"model_type": "llama", "hidden_size": 10**12}},
        {"model_type": "gpt2", "n_layer": 10**9},
        {"num_labels": 10**9},
    ],
    ids=str,
)
def test_sizes_count_in_parts_and_by_other_names_too(base, changes):
    with pytest.raises(ModelError, match=r"(num_hidden_layers|hidden_size|n_layer|num_labels) in .* must be a whole"):
        parse_base_config(changed(base, **changes))


def test_code_of_a_part_is_refused_and_that_of_the_whole_forgotten(base):
    with pytest.raises(ModelError, match=r"a part of .* names code of its own \(auto_map\), which is never executed"):
        parse_base_config(changed(base, text_config={"auto_map": {"AutoModel": "own.Own"}}))
    with pytest.warns(UserWarning, match="never executed"):
        settings = parse_base_config(changed(base, text_config=..., auto_map={"AutoModel": "own.Own"}))
    assert not hasattr(settings, "auto_map")


def test_a_label_may_have_any_name(base):
    settings = parse_base_config(changed(base, id2label={"0": "update", "1": "b"}, label2id={"update": 0, "b": 1}))
    assert settings.label2id == {"update": 0, "b": 1}
