import pytest
import torch

from ensemble_uq_llm.models.base import load_decoder
from ensemble_uq_llm.models.gguf.gguf_header import read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_rows import GgufRows
from tiny_gguf import TOKENS, save_gguf

pytest.importorskip("gguf")


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_1"])
def test_rows_are_those_of_the_whole_dequantised_matrix(tmp_path, kind):
    path = save_gguf(tmp_path / "a.gguf", kind=kind, intermediate_size=64)
    whole = load_decoder(path, device=torch.device("cpu"), bf16=False).embed_tokens.weight

    rows = GgufRows(read_gguf_header(path), "token_embd.weight")

    assert rows.shape == (len(TOKENS), 32)
    assert torch.equal(rows[:], whole)
    assert torch.equal(rows[3:7], whole[3:7])
    assert torch.equal(rows[9:10], whole[9:10])
