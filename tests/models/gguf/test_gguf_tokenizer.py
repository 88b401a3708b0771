"""A GGUF file's tokenizer gives the tokens of the model's own."""

import warnings

import pytest
from transformers import PreTrainedTokenizerFast

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import load_tokenizer
from ensemble_uq_llm.models.gguf.gguf_tokenizer import LONGEST_TOKEN
from tiny_gguf import MERGES, SPECIALS, TEMPLATE, TOKENS, save_gguf, save_tokenizer
from trained_tokenizers import GEMMA, LLAMA, byte_level, odd_texts, sentencepiece

pytest.importorskip("gguf")
TEXTS = ["the  12 hens", "a\n 1", "3.14 he <|im_end|> said", "Ä 漢 🙂", "", " the", "it's   99\n\n"]


def test_the_tokens_are_those_of_the_same_tokenizer_in_a_folder(tmp_path):
    path = save_gguf(tmp_path / "a.gguf")
    save_tokenizer(tmp_path)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)

    ours = load_tokenizer(path)

    assert ours.embeddings == len(TOKENS)
    assert ours.pad_token == 0
    assert ours.tokenizer(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]
    assert ours.tokenizer.chat_template == theirs.chat_template == TEMPLATE
    assert ours.tokenizer.special_tokens_map == theirs.special_tokens_map
    assert ours.tokenizer.all_special_ids == theirs.all_special_ids


def test_digits_are_cut_as_the_file_says_and_not_as_gpt_2_cuts_them(tmp_path):
    tokens = {
        way: load_tokenizer(save_gguf(tmp_path / f"{way}.gguf", keys=keys_with_two_spaces(way)))
        .tokenizer("a  1")
        .tokens()
        for way in ("smollm", "gpt-2")
    }

    assert tokens == {"smollm": ["a", "ĠĠ", "1"], "gpt-2": ["a", "Ġ", "Ġ", "1"]}


def keys_with_two_spaces(way: str) -> dict:
    tokens = [*TOKENS[:-1], "ĠĠ"]
    return {"tokenizer.ggml.pre": way, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": ["Ġ t", "Ġ Ġ"]}


@pytest.mark.parametrize("way", ["refact2", "default", None, 7, "x" * 500])
def test_an_unknown_way_to_cut_is_refused(tmp_path, way):
    path = save_gguf(tmp_path / "a.gguf", keys={"tokenizer.ggml.pre": way})

    with pytest.raises(ModelError, match=r"in the way .* \(tokenizer.ggml.pre\), which is none of gpt-2, smollm"):
        load_tokenizer(path)


@pytest.mark.parametrize("way", ["gpt-2", "smollm", "refact", "llama-bpe", "dbrx", "qwen2"])
def test_odd_texts_become_the_tokens_of_the_tokenizer_that_was_written(tmp_path, way):
    theirs, keys = byte_level(way)

    assert_same_tokens(tmp_path, theirs, keys)


@pytest.mark.parametrize("way", ["qwen2", "llama-bpe", "dbrx", "smollm"])
def test_odd_texts_tell_the_ways_apart(tmp_path, way):
    theirs, keys = byte_level(way)

    for other in {"qwen2", "llama-bpe", "dbrx", "smollm", "gpt-2"} - {way}:
        with pytest.raises(AssertionError, match="assert"):
            assert_same_tokens(tmp_path, theirs, keys | {"tokenizer.ggml.pre": other})


@pytest.mark.parametrize("kind", [LLAMA, GEMMA])
def test_odd_texts_become_the_tokens_of_sentencepiece(tmp_path, kind):
    theirs, keys = sentencepiece(kind)

    assert_same_tokens(tmp_path, theirs, keys, "gemma2" if kind is GEMMA else "llama")


def test_a_sentencepiece_file_may_say_that_no_space_goes_before_a_text(tmp_path):
    theirs, keys = sentencepiece(LLAMA)
    bare = LLAMA(vocab=theirs.get_vocab(), merges=theirs._merges, add_bos_token=True, add_prefix_space=False)

    assert bare("the").tokens() != theirs("the").tokens()
    assert_same_tokens(tmp_path, bare, keys | {"tokenizer.ggml.add_space_prefix": False})


def assert_same_tokens(folder, theirs, keys, family="llama"):
    tokens = keys["tokenizer.ggml.tokens"]
    others = ("padding_token_id", "unknown_token_id", "add_bos_token", "merges")
    without = {f"tokenizer.ggml.{key}": None for key in others}
    sizes = {"llama.vocab_size": len(tokens)} if family == "llama" else {}
    path = save_gguf(folder / "a.gguf", family, keys=without | keys | sizes)

    ours = load_tokenizer(path).tokenizer

    texts = odd_texts(400, seed=2)
    assert ours(texts)["input_ids"] == theirs(texts)["input_ids"]
    assert ours.bos_token == theirs.bos_token


def test_a_sentencepiece_vocabulary_is_read_with_its_beginning(tmp_path):
    spelled = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a"]
    keys = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": None, "tokenizer.ggml.tokens": spelled,
        "tokenizer.ggml.merges": None, "tokenizer.ggml.scores": [0.0] * 259 + [-1.0, -2.0],
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1, 1], "tokenizer.ggml.add_bos_token": True,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_tokenizer(save_gguf(tmp_path / "a.gguf", keys=keys)).tokenizer

    assert found("a a").tokens() == ["<s>", "▁", "a", "▁", "a"]


def changed(**values) -> dict:
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (changed(model="bert"), r"its kind \(tokenizer.ggml.model\) is 'bert'"),
        (changed(tokens=TOKENS[:-1]), "it has 260 tokens, and the model has 261"),
        (changed(tokens=None), "it has no tokens, and the model has 261"),
        (changed(tokens=list(range(261))), "it has 261 tokens, and the model"),
        (changed(tokens=[*TOKENS[:-1], TOKENS[0]]), "it has a token twice"),
        (changed(tokens=[*TOKENS[:-1], "x" * (LONGEST_TOKEN + 1)]), "a token has more than 512 characters"),
        (changed(merges=None), "it has neither merges nor scores of its tokens"),
        (changed(merges=["Ġt"]), "its merges must be two pieces each"),
        (changed(merges=[1, 2]), "its merges must be two pieces each"),
        (changed(token_type=[1]), "its tokens and their types"),
        (changed(eos_token_id=261), "eos_token_id is 261, and there are 261 tokens"),
        (changed(unknown_token_id="<unk>"), "unknown_token_id is '<unk>', and there"),
        ({"tokenizer.chat_template": 7}, "its chat template is no text"),
    ],
)
def test_lists_that_do_not_fit_are_refused(tmp_path, keys, message):
    path = save_gguf(tmp_path / "a.gguf", keys=keys)

    with pytest.raises(ModelError, match=rf"^model_name: the tokenizer in {path} cannot be used: .*{message}"):
        load_tokenizer(path)


def test_merges_of_pieces_that_are_no_tokens_are_named(tmp_path):
    path = save_gguf(tmp_path / "a.gguf", keys=changed(merges=[*MERGES, "nota token"]))

    with pytest.raises(ModelError, match=rf"^model_name: no usable tokenizer in {path}: "):
        load_tokenizer(path)


def test_special_tokens_stay_whole(tmp_path):
    found = load_tokenizer(save_gguf(tmp_path / "a.gguf")).tokenizer

    assert found("a<|im_start|>b").tokens() == ["a", SPECIALS[1], "b"]
