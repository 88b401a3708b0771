"""Packed attention against plain attention of one sequence after the other, alone and inside whole decoders."""

import pytest
import torch
from torch import Tensor, nn

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.attention.packed import attention_for_transformers, last_token_attention, packed_attention
from ensemble_uq_llm.models.pack import Pack, make_pack
from tiny_models import FAMILIES, assert_close, random_sequences, tiny_config, tiny_decoder

CPU = torch.device("cpu")
HEADS, HEAD_DIM = 4, 8
# The capped softmax runs in float32, as transformers' own.
FORMS = {
    "plain": ({}, 1e-12),
    "sliding": ({"window": 4}, 1e-12),
    "softcap": ({"softcap": 2.0}, 1e-6),
    "softcap-sliding": ({"softcap": 2.0, "window": 4}, 1e-6),
}


def random_qkv(pack: Pack, *, key_heads: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(len(pack.tokens_T), heads, HEAD_DIM) for heads in (HEADS, key_heads, key_heads)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


def plain_attention(query, key, value, *, scaling, window=None, softcap=None) -> Tensor:
    """Attention of one sequence as the papers write it, one query at a time. Returns [T, H, D]."""
    repeats = query.shape[1] // key.shape[1]
    rows = []
    for now in range(len(query)):
        first = 0 if window is None else max(0, now - window + 1)
        heads = []
        for head in range(query.shape[1]):
            keys, values = (each[first : now + 1, head // repeats] for each in (key, value))
            scores = keys @ query[now, head] * scaling
            if softcap is not None:
                scores = softcap * torch.tanh(scores / softcap)
            heads.append(torch.softmax(scores, dim=0) @ values)
        rows.append(torch.stack(heads))
    return torch.stack(rows)


def one_by_one(qkv: list[Tensor], pack: Pack, **form) -> Tensor:
    pieces = zip(*(each.split(pack.lengths) for each in qkv), strict=True)
    return torch.cat([plain_attention(*piece, **form) for piece in pieces])


def sequences_pack(*lengths: int) -> Pack:
    drawn = [random_sequences(1, seed=i, lowest=n, highest=n)[0] for i, n in enumerate(lengths)]
    return make_pack([(0, drawn[:2]), (1, drawn[2:])], device=CPU)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_equals_attention_of_each_sequence(form, key_heads):
    settings, tolerance = FORMS[form]
    pack = sequences_pack(1, 9, 4, 1, 5)
    qkv = random_qkv(pack, key_heads=key_heads)
    actual = packed_attention(*qkv, pack=pack, scaling=0.4, **settings)
    expected = one_by_one(qkv, pack, scaling=0.4, **settings)
    assert_close(actual, expected, relative=tolerance)
    sent = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for mine, plain in zip(
        torch.autograd.grad(actual, qkv, sent), torch.autograd.grad(expected, qkv, sent), strict=True
    ):
        assert_close(mine, plain, relative=tolerance)


@pytest.mark.parametrize("window", [None, 4])
def test_last_tokens_equal_the_last_rows_of_the_whole(window):
    pack = sequences_pack(1, 9, 4, 1, 5)
    query, key, value = random_qkv(pack, key_heads=2)
    actual = last_token_attention(query[pack.last_B], key, value, pack=pack, scaling=0.4, window=window)
    whole = one_by_one([query, key, value], pack, scaling=0.4, window=window)
    assert_close(actual, whole[pack.last_B], relative=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_transformers_gets_the_same_in_its_own_layout(form):
    settings, _ = FORMS[form]
    pack = sequences_pack(1, 9, 4, 1, 5)
    qkv = random_qkv(pack, key_heads=2)
    theirs = {"sliding_window" if key == "window" else key: value for key, value in settings.items()}
    heads_first = [each.transpose(0, 1)[None] for each in qkv]
    actual, weights = attention_for_transformers(
        nn.Identity(), *heads_first, None, pack=pack, scaling=0.4, dropout=0.0, **theirs
    )
    assert torch.equal(actual[0], packed_attention(*qkv, pack=pack, scaling=0.4, **settings))
    assert weights is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"pack": None}, "Identity is not handed the pack by its layer"),
        ({"s_aux": torch.ones(4)}, "Identity wants s_aux, more than causal attention"),
        ({"position_bias": 1, "is_causal": False}, "Identity wants is_causal, position_bias, more than"),
    ],
    ids=["no pack", "sinks", "bias"],
)
def test_what_is_more_than_causal_attention_is_refused(asked, message):
    pack = sequences_pack(1, 9)
    heads_first = [each.transpose(0, 1)[None] for each in random_qkv(pack, key_heads=2)]
    with pytest.raises(ModelError, match=message):
        attention_for_transformers(nn.Identity(), *heads_first, None, **{"pack": pack, "scaling": 0.4} | asked)


def test_a_layer_that_is_not_causal_is_refused():
    pack, layer = sequences_pack(1, 9), nn.Identity()
    layer.is_causal = False
    heads_first = [each.transpose(0, 1)[None] for each in random_qkv(pack, key_heads=2)]
    with pytest.raises(ModelError, match="the attention of Identity is not causal"):
        attention_for_transformers(layer, *heads_first, None, pack=pack, scaling=0.4)


@pytest.mark.parametrize("form", FORMS)
def test_a_sequence_does_not_see_its_neighbours(form):
    settings, _ = FORMS[form]
    pack = sequences_pack(3, 9, 6)
    own = slice(3, 12)
    outputs = []
    for neighbour in (1.0, float("nan")):
        qkv = [each.detach().clone() for each in random_qkv(pack, key_heads=2)]
        for each in qkv:
            each[: own.start] *= neighbour
            each[own.stop :] *= neighbour
        outputs.append(packed_attention(*qkv, pack=pack, scaling=0.4, **settings)[own])
    assert outputs[0].isfinite().all()
    assert torch.equal(*outputs)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_decoder_equals_transformers_sequence_by_sequence(family):
    sequences = [*random_sequences(4, seed=3, highest=20), *random_sequences(1, seed=4, highest=1)]
    pack = make_pack([(0, sequences)], device=CPU)
    packed = tiny_decoder(tiny_config(family))
    eager = tiny_decoder(tiny_config(family), attention="eager")
    tokens, positions = pack.tokens_T[None], pack.positions_T[None]
    with torch.no_grad():
        actual = packed(input_ids=tokens, position_ids=positions, use_cache=False, pack=pack).last_hidden_state
        alone = [eager(input_ids=piece, use_cache=False).last_hidden_state for piece in tokens.split(pack.lengths, 1)]
    assert max(pack.lengths) > 5 > min(pack.lengths), "some sequences must be longer than the sliding windows"
    assert_close(actual, torch.cat(alone, dim=1))
