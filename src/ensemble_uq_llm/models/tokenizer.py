"""A base's tokenizer, with what the base's configuration says of tokens: how many there are, and which one pads."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseTokenizer:
    """What turns prompts into the tokens that a base reads.

    `embeddings` is the number of tokens that the base has, which may be fewer than its tokenizer knows. `pad_token` is
    the token that the base's configuration (not its tokenizer) calls padding, or None: transformers' classifiers read
    the last token that is another.
    """

    tokenizer: PreTrainedTokenizerBase
    embeddings: int
    pad_token: int | None
