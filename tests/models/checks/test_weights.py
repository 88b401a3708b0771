"""The headers of a base's weights: what does not fit is named before anything is loaded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import load_decoder, load_skeleton
from ensemble_uq_llm.models.checks.weights import (
    INDEX,
    LARGEST_HEADER,
    MOST_SHARDS,
    WEIGHTS,
    check_weights,
    weight_files,
)
from tiny_models import save_tiny_llama

Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def base(tmp_path) -> Path:
    return save_tiny_llama(tmp_path)


def load(folder: Path) -> torch.nn.Module:
    return load_decoder(folder, device=torch.device("cpu"), bf16=False)


def with_tensor(folder: Path, name: str, tensor: torch.Tensor) -> None:
    save_file(load_file(folder / WEIGHTS) | {name: tensor}, folder / WEIGHTS, metadata={"format": "pt"})


def sharded(folder: Path) -> dict[str, str]:
    """Split the weights into two shards and return the index's map."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    shards = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(sorted(tensors))}
    for shard in {*shards.values()}:
        own = {name: tensor for name, tensor in tensors.items() if shards[name] == shard}
        save_file(own, folder / shard, metadata={"format": "pt"})
    write_index(folder, shards)
    return shards


def write_index(folder: Path, weight_map: object) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_shards_are_loaded_as_one_file_is(base):
    whole = load(base).state_dict()
    sharded(base)
    assert len(weight_files(base)) == 2
    assert all(torch.equal(each, whole[name]) for name, each in load(base).state_dict().items())


def test_shards_that_are_not_there_are_named(base):
    shards = sharded(base)
    (base / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"names 1 file that is not there: 'model-00002-of-00002\.safetensors'"):
        load(base)
    write_index(base, shards | {"a": "a.safetensors", "b": "b.safetensors"})
    with pytest.raises(ModelError, match=r"names 3 files that are not there: 'a\.safetensors', 'b\.safetensors', "):
        load(base)


@pytest.mark.parametrize("weight_map", [None, {}, [], "x", {"a": 3}, {"a": "../elsewhere.safetensors"}, {"a": None}])
def test_an_index_that_is_none_is_refused(base, weight_map):
    sharded(base)
    write_index(base, weight_map)
    with pytest.raises(ModelError, match=rf"{INDEX} is not an index of weights: "):
        load(base)
    (base / INDEX).write_text("{")
    with pytest.raises(ModelError, match=rf"{INDEX} is not an index of weights: "):
        load(base)


def test_files_of_other_names_are_mentioned(base):
    (base / WEIGHTS).rename(base / "consolidated.safetensors")
    with pytest.raises(ModelError, match=r"no model\.safetensors .*\(found 'consolidated\.safetensors'; transformers"):
        load(base)


@pytest.mark.parametrize("shape", [(32, 16), (16, 32), (64, 32), (1024, 1), (32,)], ids=str)
def test_a_weight_of_another_shape_is_named(base, shape):
    with_tensor(base, Q, torch.zeros(shape))
    with pytest.raises(ModelError, match=rf"{Q} in .* has shape .* should have \(32, 32\); the two files are not of"):
        load(base)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn], ids=str)
def test_a_quantised_weight_is_refused_even_if_the_configuration_says_nothing(base, dtype):
    with_tensor(base, Q, torch.ones(32, 32).to(dtype))
    with pytest.raises(ModelError, match=rf"{Q} in .* is of type .*, so quantised, which is not supported"):
        load(base)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_floating_point_weights_of_any_width_are_loaded(base, dtype):
    with_tensor(base, Q, torch.full((32, 32), 0.5, dtype=dtype))
    assert load(base).layers[0].self_attn.q_proj.weight.unique().tolist() == [0.5]


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_base_that_is_not_finite_is_refused(base, poison):
    with_tensor(base, Q, torch.full((32, 32), poison))
    with pytest.raises(ModelError, match="gives NaN or infinity for its first tokens"):
        load(base)


def test_weights_that_are_not_there_are_missed_before_they_are_made_up(base):
    config = json.loads((base / "config.json").read_text()) | {"num_hidden_layers": 400}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=rf"{base} lacks weights: layers\.10\.input_layernorm\.weight, .* in all\)"):
        check_weights(base, load_skeleton(base, bf16=False))


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.float8_e4m3fn], ids=str)
def test_a_tensor_of_the_model_is_of_floating_point_whatever_its_name(tmp_path, dtype):
    folder = save_tiny_llama(tmp_path, attention_bias=True)
    with_tensor(folder, "model.layers.0.self_attn.q_proj.bias", torch.zeros(32).to(dtype))
    with pytest.raises(ModelError, match=r"q_proj\.bias in .* is of type (I8|BOOL|F8_E4M3), so quantised"):
        load(folder)


@pytest.mark.parametrize("name", ["evil.bin", "../evil.safetensors", "/etc/evil.safetensors", "a\0.safetensors", ".."])
def test_an_index_names_safetensors_files_beside_it(base, name):
    sharded(base)
    write_index(base, {"a": name})
    with pytest.raises(ModelError, match="is not an index of weights: weight_map must map names to files beside it"):
        weight_files(base)


def test_an_index_of_countless_files_is_refused(base):
    sharded(base)
    write_index(base, {str(index): f"{index}.safetensors" for index in range(MOST_SHARDS + 1)})
    with pytest.raises(ModelError, match="names 10,001 files, over 10,000"):
        weight_files(base)


@pytest.mark.parametrize("length", [LARGEST_HEADER + 1, 2**64 - 1])
def test_a_header_of_no_known_length_is_not_read(base, length):
    with (base / WEIGHTS).open("r+b") as stream:
        stream.write(length.to_bytes(8, "little"))
    with pytest.raises(ModelError, match=rf"{WEIGHTS} cannot be read: its header has {length:,} bytes, and none needs"):
        load(base)
