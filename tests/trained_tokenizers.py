"""Tokenizers trained on the spot on a text of many scripts, made by transformers' own classes, and as keys of GGUF."""

import inspect
import random
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders
from tokenizers import pre_tokenizers as cutting
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import GemmaTokenizer, GPT2Tokenizer, LlamaTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter

SPECIALS = ("<|begin|>", "<|end|>")
PIECES = (
    "the", "The", "THE", "it's", "I'LL", "won't", "camelCase", "a", "of", "Straße", "naïve", "nai\u0308ve", "e\u0301",
    "Ångström", "A\u030angstro\u0308m", "漢字", "かな", "한국어", "\u1112\u1161\u11ab", "Привет", "שלום", "مرحبا",
    "नमस्ते", "🙂", "👩‍👩‍👧", "ﬁ", "½", "²", "Ⅷ", "٣٤", "1", "12", "123", "1234", "3.14", "1,000", "2024-01-31", "0x1F",
    " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "\u00a0", "\u3000", "\u200b", ".", "...", "!?", "--", "(x)",
    "{}", "://", "#", "\\", "'", '"', "\u2019s", "<|begin|>", "<s>", "</s>", "_", "__init__", "<0x41>",
)  # fmt: skip


def odd_texts(count: int, seed: int) -> list[str]:
    """Return texts of words, digits, spaces and signs of many scripts, in any order."""
    rng = random.Random(seed)
    return [
        "", " ", *("".join(rng.choice(PIECES) + rng.choice(("", " ", "")) for _ in range(rng.randrange(1, 30)))
        for _ in range(count - 2)),
    ]  # fmt: skip


def trained(pre_tokenizer: Any, *, alphabet: Iterable[str] = (), specials: Iterable[str] = SPECIALS, size: int = 1_200):
    """Return the vocabulary and the merges that training with a way to cut gives."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=[*alphabet], special_tokens=[*specials], show_progress=False)
    texts = [each.replace("<", "(") for each in odd_texts(3_000, seed=1)]
    tokenizer.train_from_iterator(texts, trainer)
    model = inspect_model(tokenizer)
    return model["vocab"], [tuple(each) for each in model["merges"]]


def inspect_model(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what a tokenizer is made of, as tokenizer.json says it."""
    import json

    found: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return found


def split_by(pattern: str) -> Any:
    """Return a way to cut by an expression, over bytes."""
    bytes_only = cutting.ByteLevel(add_prefix_space=False, use_regex=False)
    return cutting.Sequence([cutting.Split(Regex(pattern), behavior="isolated"), bytes_only])


def byte_level(way: str) -> tuple[PreTrainedTokenizerFast, dict[str, Any]]:
    """Return a byte-level tokenizer as transformers or its authors make it, and the keys of GGUF that describe it."""
    digits = cutting.Sequence([cutting.Digits(individual_digits=True), cutting.ByteLevel(add_prefix_space=False)])
    cut = {
        "gpt-2": lambda: cutting.ByteLevel(add_prefix_space=False),
        "smollm": lambda: digits,
        "refact": lambda: digits,
        "llama-bpe": lambda: split_by(inspect.signature(TikTokenConverter.__init__).parameters["pattern"].default),
        "dbrx": lambda: split_by(inspect.signature(TikTokenConverter.__init__).parameters["pattern"].default),
        "qwen2": lambda: Qwen2Tokenizer().backend_tokenizer.pre_tokenizer,
    }[way]()
    vocab, merges = trained(cut, alphabet=cutting.ByteLevel.alphabet())
    if way == "llama-bpe":  # tokens that no merges lead to, as there are in Llama 3
        vocab = vocab | {
            f"Ġ{word}": len(vocab) + n for n, word in enumerate(("Привет".encode().decode("latin-1"), "1234x"))
        }
        vocab = vocab | {"camelCaseit": len(vocab)}
    tokens = [token for token, _ in sorted(vocab.items(), key=lambda each: each[1])]
    made = {"bos_token": SPECIALS[0], "eos_token": SPECIALS[1], "unk_token": None, "pad_token": None}
    if way == "qwen2":
        tokenizer: Any = Qwen2Tokenizer(vocab=vocab, merges=merges, **made)
    elif way == "gpt-2":
        tokenizer = GPT2Tokenizer(vocab=vocab, merges=merges, **made)
    else:
        backend = Tokenizer(BPE(vocab, merges, fuse_unk=False, ignore_merges=way == "llama-bpe"))
        backend.pre_tokenizer, backend.decoder = cut, decoders.ByteLevel()
        backend.add_special_tokens([*SPECIALS])
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, add_bos_token=way == "llama-bpe", **made)
    keys = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": way, "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * len(SPECIALS) + [1] * (len(tokens) - len(SPECIALS)),
        "tokenizer.ggml.merges": [" ".join(each) for each in merges], "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }  # fmt: skip
    return tokenizer, keys


def sentencepiece(kind: type) -> tuple[PreTrainedTokenizerFast, dict[str, Any]]:
    """Return a tokenizer of SentencePiece's manner, and its keys: scores in place of merges."""
    is_gemma = kind is GemmaTokenizer
    specials = ("<pad>", "<eos>", "<bos>", "<unk>") if is_gemma else ("<unk>", "<s>", "</s>")
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    cut = cutting.Metaspace(replacement="▁", prepend_scheme="never" if is_gemma else "first", split=not is_gemma)
    vocab, merges = trained(cut, specials=(*specials, *spelled), size=1_500)
    tokens = [token for token, _ in sorted(vocab.items(), key=lambda each: each[1])]
    unknown = specials.index("<unk>")
    types = [3] * len(specials) + [6] * 256 + [1] * (len(tokens) - len(specials) - 256)
    types[unknown] = 2
    keys = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(place) for place in range(len(tokens))], "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": specials.index("<bos>" if is_gemma else "<s>"),
        "tokenizer.ggml.eos_token_id": specials.index("<eos>" if is_gemma else "</s>"),
        "tokenizer.ggml.unknown_token_id": unknown, "tokenizer.ggml.add_space_prefix": not is_gemma,
    }  # fmt: skip
    return kind(vocab=vocab, merges=merges, add_bos_token=True), keys


LLAMA, GEMMA = LlamaTokenizer, GemmaTokenizer
