"""The ways to cut a text before tokens are looked for, by the names that GGUF files have for them.

A name stands for a tokenizer's whole manner: llama.cpp's converter finds it out from the tokens of a test text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenizers import Regex, normalizers
from tokenizers import pre_tokenizers as cutting

_END = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_LLAMA_3 = _WORDS + r"\p{N}{1,3}" + _END
_QWEN_2 = _WORDS + r"\p{N}" + _END
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a byte-level tokenizer differs from GPT-2's."""

    pattern: str | None = None
    """What is kept together; None is GPT-2's own."""
    digits_apart: bool = False
    """Whether every digit is cut off first."""
    composed: bool = False
    """Whether letters and their accents are made one character first (NFC)."""
    whole_first: bool = False
    """Whether a piece that is a token is taken whole, whatever its merges."""
    begins: bool = False
    """Whether a text begins with the token for it, where a file does not say."""

    def shape(self, backend: Any) -> None:
        """Make a tokenizer of the library tokenizers cut so."""
        backend.normalizer = normalizers.NFC() if self.composed else None
        backend.model.ignore_merges = self.whole_first
        backend.pre_tokenizer = self._cutting()

    def _cutting(self) -> Any:
        if self.pattern is not None:
            bytes_only = cutting.ByteLevel(add_prefix_space=False, use_regex=False)
            return cutting.Sequence([cutting.Split(Regex(self.pattern), behavior="isolated"), bytes_only])
        usual = cutting.ByteLevel(add_prefix_space=False, use_regex=True)
        return cutting.Sequence([cutting.Digits(individual_digits=True), usual]) if self.digits_apart else usual


_STARCODER: Final = Way(digits_apart=True)
_LLAMA: Final = Way(pattern=_LLAMA_3, whole_first=True, begins=True)
WAYS: Final[Mapping[str, Way]] = {
    "gpt-2": Way(),
    "smollm": _STARCODER,
    "starcoder": _STARCODER,
    "refact": _STARCODER,  # Granite 3 too
    "llama-bpe": _LLAMA,
    "llama3": _LLAMA,
    "llama-v3": _LLAMA,
    "dbrx": Way(pattern=_LLAMA_3),  # OLMo 2 too
    "qwen2": Way(pattern=_QWEN_2, composed=True),
    "tekken": Way(pattern=_TEKKEN, whole_first=True, begins=True),  # Mistral Nemo
}
"""By `tokenizer.ggml.pre`."""
