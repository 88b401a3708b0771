"""The ways to cut texts: those of transformers where it has them, and each of its own manner."""

import pytest
from tokenizers import Tokenizer, normalizers
from tokenizers.models import BPE

from ensemble_uq_llm.models.gguf.gguf_cutting import WAYS

TEXT = "It's 1234 e\u0301tés  at\n\nHEREThen!?\r\n x"
REST = ("Ġ", "Ġat", "Ċ", "Ċ", "HEREThen", "!?", "čĊ", "Ġx")
PIECES = {
    "gpt-2": ["It", "'s", "Ġ1234", "Ġe", "Ìģ", "tÃ©s", *REST],
    "smollm": ["It", "'s", "Ġ", "1", "2", "3", "4", "Ġe", "Ìģ", "tÃ©s", *REST],
    "llama-bpe": ["It", "'s", "Ġ", "123", "4", "Ġe", "ÌģtÃ©s", "Ġ", "Ġat", "ĊĊ", "HEREThen", "!?čĊ", "Ġx"],
    "qwen2": ["It", "'s", "Ġ", "1", "2", "3", "4", "ĠÃ©tÃ©s", "Ġ", "Ġat", "ĊĊ", "HEREThen", "!?čĊ", "Ġx"],
    "tekken": ["It", "'s", "Ġ", "1", "2", "3", "4", "ĠeÌģtÃ©s", "Ġ", "Ġat", "ĊĊ", "HEREThen", "!?čĊ", "Ġx"],
}
SAME = {"starcoder": "smollm", "refact": "smollm", "llama3": "llama-bpe", "llama-v3": "llama-bpe", "dbrx": "llama-bpe"}


@pytest.mark.parametrize("way", WAYS)
def test_a_text_is_cut_in_the_way_that_is_named(way):
    backend = Tokenizer(BPE({}, []))
    WAYS[way].shape(backend)
    text = backend.normalizer.normalize_str(TEXT) if backend.normalizer else TEXT

    assert [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)] == PIECES[SAME.get(way, way)]


def test_whole_tokens_and_composed_letters_are_what_some_begin_with():
    backend = Tokenizer(BPE({}, []))
    for way, found in WAYS.items():
        found.shape(backend)
        assert backend.model.ignore_merges is (way in ("llama-bpe", "llama3", "llama-v3", "tekken")) is found.begins
        assert isinstance(backend.normalizer, normalizers.NFC) is (way == "qwen2")


def test_the_expressions_are_those_of_transformers():
    mapping = pytest.importorskip("transformers.integrations.gguf.gguf_tokenizer_mapping")

    assert {way: mapping.GGUF_PRE_TOKENIZER_SPLITS.get(way) for way in WAYS} == {
        way: found.pattern for way, found in WAYS.items()
    }
