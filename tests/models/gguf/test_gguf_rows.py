"""Rows of a matrix, dequantised: those of the library gguf, and of transformers' own code for it."""

import numpy as np
import pytest
import torch

from ensemble_uq_llm.models.base import load_decoder
from ensemble_uq_llm.models.gguf.gguf_header import STORED, read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_rows import GgufRows
from tiny_gguf import TOKENS, save_gguf

gguf = pytest.importorskip("gguf")


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_1"])
def test_rows_are_those_of_the_whole_dequantised_matrix(tmp_path, kind):
    path = save_gguf(tmp_path / "a.gguf", kind=kind, intermediate_size=64)
    whole = load_decoder(path, device=torch.device("cpu"), bf16=False).embed_tokens.weight

    rows = GgufRows(read_gguf_header(path), "token_embd.weight")

    assert rows.shape == (len(TOKENS), 32)
    assert torch.equal(rows[:], whole)
    assert torch.equal(rows[3:7], whole[3:7])
    assert torch.equal(rows[9:10], whole[9:10])


def save_blocks(path, code, *, rows, blocks):
    """Write a matrix of blocks whose bytes are random, but that no scale is infinite or none."""
    _, _, size = STORED[code]
    stored = np.random.default_rng(code).integers(0, 256, (rows, blocks * size), dtype=np.uint8)
    kind = gguf.GGMLQuantizationType(code)
    with np.errstate(all="ignore"):
        stored[~np.isfinite(gguf.dequantize(stored, kind)).all(axis=1)] = 0
    assert (stored != 0).any(axis=1).sum() > rows // 4
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("a", stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored, kind


@pytest.mark.parametrize("code", STORED, ids=[name for name, _, _ in STORED.values()])
def test_every_kind_is_dequantised_as_the_library_does(tmp_path, code):
    stored, kind = save_blocks(tmp_path / "a.gguf", code, rows=67, blocks=2)

    rows = GgufRows(read_gguf_header(tmp_path / "a.gguf"), "a")

    wanted = torch.from_numpy(gguf.dequantize(stored, kind))
    assert torch.equal(rows[:], wanted)
    assert torch.equal(rows[5:40], wanted[5:40])
    assert torch.equal(torch.cat([part for _, part in rows.parts()]), wanted)


@pytest.mark.parametrize("code", STORED, ids=[name for name, _, _ in STORED.values()])
def test_every_kind_is_dequantised_as_transformers_does(tmp_path, code):
    theirs = pytest.importorskip("transformers.integrations.gguf.dequant")
    if code not in theirs._DEQUANT:
        pytest.skip("transformers has no code of its own for it")
    stored, _ = save_blocks(tmp_path / "a.gguf", code, rows=40, blocks=1)
    size = STORED[code][2]

    ours = GgufRows(read_gguf_header(tmp_path / "a.gguf"), "a")[:]

    wanted = theirs._DEQUANT[code](torch.from_numpy(stored).reshape(-1, size), torch.float32).reshape(ours.shape)
    assert torch.allclose(ours, wanted, rtol=1e-6, atol=0)


def test_all_parts_are_all_rows_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr("ensemble_uq_llm.models.gguf.gguf_rows.BYTES_AT_ONCE", 300)
    path = save_gguf(tmp_path / "a.gguf")
    rows = GgufRows(read_gguf_header(path), "token_embd.weight")

    places = [(place.start, place.stop) for place, _ in rows.parts()]

    assert places[0] == (0, 2)
    assert places[-1] == (260, 261)
    assert torch.equal(torch.cat([part for _, part in rows.parts()]), rows[:])
    assert torch.equal(torch.cat([part for _, part in rows.parts(7, 12)]), rows[7:12])
    assert rows[7:7].shape == (0, 32)
