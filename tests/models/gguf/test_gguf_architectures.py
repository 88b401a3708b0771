"""The table of architectures: its rows name what transformers and the library gguf have."""

import pytest
from transformers import CONFIG_MAPPING

from ensemble_uq_llm.models.gguf.gguf_architectures import ARCHITECTURES, USUAL_KEYS, USUAL_NAMES

gguf = pytest.importorskip("gguf")


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_row_names_keys_of_the_library_and_settings_of_transformers(kind):
    row = ARCHITECTURES[kind]
    known = {value for part in (gguf.Keys.LLM, gguf.Keys.Attention) for value in vars(part).values()}

    settings = CONFIG_MAPPING[row.model_type]()
    for key, name in (USUAL_KEYS | row.needed | row.optional).items():
        assert f"{{arch}}.{key}" in known
        assert hasattr(settings, name)
    assert hasattr(settings, "head_dim") or not row.own_head_size


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_names_of_tensors_are_those_of_the_library(kind):
    (number,) = (each for each, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    names = gguf.get_tensor_name_map(number, 1)
    known = {gguf.TENSOR_NAMES[each].format(bid=0) for each in gguf.MODEL_TENSORS[number]}

    for short, long in (USUAL_NAMES | ARCHITECTURES[kind].names).items():
        if f"blk.0.{short}" in known and (found := names.get_name(f"model.layers.0.{long}")) is not None:
            assert found == f"blk.0.{short}"
