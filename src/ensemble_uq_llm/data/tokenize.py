"""Examples -> token ids. A prompt that is too long loses the end of one field, never anything else."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.data.cut import Prompt, cut_to_fit
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prompting.frame import PLAIN, Frame, encode
from ensemble_uq_llm.data.prompts import Template, default_cut_column, parse_template
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.utils.text import clipped, counted

UNLABELLED: Final = -1
PROMPTS_AT_ONCE: Final = 1000  # a tokenizer's intermediate results take about 150 bytes a token


@dataclass(frozen=True, kw_only=True)
class TokenizedExamples:
    """N examples as token ids, end to end in one array; no sequence is empty."""

    ids: tuple[str, ...]
    tokens_T: NDArray[np.int32]
    lengths_N: NDArray[np.int64]
    labels_N: NDArray[np.int64]
    """Class indices; UNLABELLED (-1) where the label is not known."""
    is_cut_N: NDArray[np.bool_]
    """Whether the prompt was too long and its text was cut."""
    options_N: NDArray[np.int64] | None = None
    """How many of the classes, the first ones, each example of multiple choice has; None where all have all."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def sequences(self) -> list[NDArray[np.int32]]:
        """The token ids of each example, as views of `tokens_T`."""
        return np.split(self.tokens_T, np.cumsum(self.lengths_N)[:-1]) if len(self) else []

    @property
    def num_cut(self) -> int:
        """How many prompts were cut."""
        return int(self.is_cut_N.sum())

    def describe(self) -> str:
        """Return the sizes in words, for a log."""
        if not len(self):
            return "no prompts"
        mean, longest = self.lengths_N.mean(), self.lengths_N.max()
        cut = f"{self.num_cut:,} cut ({self.num_cut / len(self):.1%})"
        return f"{len(self):,} prompts of {mean:.0f} tokens on average, {longest} at most, {cut}"


NO_EXAMPLES: Final = TokenizedExamples(
    ids=(),
    tokens_T=np.empty(0, np.int32),
    lengths_N=np.empty(0, np.int64),
    labels_N=np.empty(0, np.int64),
    is_cut_N=np.empty(0, np.bool_),
)


def tokenize_examples(
    examples: Sequence[Example],
    *,
    tokenizer: Any,
    template: str,
    max_length: int,
    cut_column: str | None = None,
    pad_token: int | None = None,
    embeddings: int | None = None,
    frame: Frame = PLAIN,
) -> TokenizedExamples:
    """Tokenise each example's prompt in its frame, with the special tokens that the tokenizer puts before a text.

    A prompt of more than `max_length` tokens loses the end of `cut_column`'s text (default: see
    `prompts.default_cut_column`), and keeps as many tokens as fit: what stands after that text, such as a final
    `Answer:`, is never cut. What follows the last token that is not `pad_token` is left out, where one is given, the
    base's padding: transformers' classifiers read that token's state, which what follows cannot reach; of nothing but
    padding they read the first. Warns of prompts that begin with two begin-of-text tokens.

    Raises:
        DataError: a prompt that is too long without that text, that has no token at all, or with a token beyond the
            `embeddings` tokens that the base has.
        ConfigError: a template that is no good, or an end-of-text token asked for that nobody would read.
    """
    if max_length < 1:
        raise ValueError(f"max_length = {max_length} must be at least 1")
    _check_end(tokenizer, frame, pad_token)
    column = cut_column or default_cut_column(template)
    parsed = parse_template(template)
    sequences: list[NDArray[np.int32]] = []
    is_cut: list[bool] = []
    for start in range(0, len(examples), PROMPTS_AT_ONCE):
        some = examples[start : start + PROMPTS_AT_ONCE]
        texts = [frame.around(parsed.render(example.fields)) for example in some]
        tokens = encode(tokenizer, texts, frame=frame)["input_ids"]
        too_long = [index for index, each in enumerate(tokens) if len(each) > max_length]
        prompts = [_prompt(some[index], parsed, column, frame) for index in too_long]
        for index, shorter in zip(too_long, _cut(prompts, tokenizer, max_length, column), strict=True):
            tokens[index] = shorter
        arrays = [_not_empty(each, example, tokenizer) for each, example in zip(tokens, some, strict=True)]
        sequences += [_without_last_padding(each, pad_token) for each in arrays]
        is_cut += [index in set(too_long) for index in range(len(some))]
    _warn_of_two_beginnings(sequences, tokenizer)
    if embeddings is not None:
        _check_embedded(sequences, embeddings, examples, tokenizer)
    labels = [UNLABELLED if example.label is None else example.label for example in examples]
    return TokenizedExamples(
        ids=tuple(example.id for example in examples),
        tokens_T=np.concatenate(sequences) if sequences else np.empty(0, np.int32),
        lengths_N=np.array([len(each) for each in sequences], np.int64),
        labels_N=np.array(labels, np.int64),
        is_cut_N=np.array(is_cut, np.bool_),
        options_N=_options(examples),
    )


def _check_end(tokenizer: Any, frame: Frame, pad_token: int | None) -> None:
    """Refuse an end that is not there, or that transformers' classifiers take for padding."""
    if not frame.ends:
        return
    if tokenizer.eos_token_id is None:
        raise ConfigError("append_eos: the base's tokenizer has no end-of-text token; leave it out")
    if tokenizer.eos_token_id == pad_token:
        raise ConfigError(
            f"append_eos: the base calls its end-of-text token {tokenizer.eos_token!r} padding (pad_token_id in its "
            "config.json), and padding is never read; leave it out: every answer would be the same"
        )


def _options(examples: Sequence[Example]) -> NDArray[np.int64] | None:
    counts = [example.options for example in examples]
    known = [count for count in counts if count is not None]
    return np.array(known, np.int64) if known and len(known) == len(counts) else None


def _prompt(example: Example, template: Template, column: str, frame: Frame) -> Prompt:
    before, after = template.around(column)
    fields = example.fields
    return Prompt(
        id=example.id, before=before.render(fields), text=fields[column], after=after.render(fields), frame=frame
    )


def _cut(prompts: list[Prompt], tokenizer: Any, max_length: int, column: str) -> list[list[int]]:
    if not prompts:
        return []
    found = cut_to_fit(prompts, tokenizer=tokenizer, max_length=max_length)
    hopeless = [prompt for prompt, tokens in zip(prompts, found, strict=True) if tokens is None]
    if hopeless:
        length = len(encode(tokenizer, [hopeless[0].cut_at(0)], frame=hopeless[0].frame)["input_ids"][0])
        others = f" (and {len(hopeless) - 1:,} more)" if len(hopeless) > 1 else ""
        raise DataError(
            f"example {clipped(hopeless[0].id)}{others}: the prompt has {length} tokens even without its"
            f" {column!r}, more than max_length {max_length}; raise max_length, or cut another column"
        )
    return [tokens for tokens in found if tokens is not None]


def _not_empty(tokens: list[int], example: Example, tokenizer: Any) -> NDArray[np.int32]:
    """Return the tokens as an array; an empty prompt becomes one begin- or end-of-text token."""
    if tokens:
        return np.array(tokens, np.int32)
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return np.array([token], np.int32)
    raise DataError(
        f"example {clipped(example.id)}: its prompt is empty and gives no token; give it text,"
        " or put literal text into prompt_template"
    )


def _without_last_padding(tokens_T: NDArray[np.int32], pad_token: int | None) -> NDArray[np.int32]:
    """Leave out the padding tokens at the end, but never the first token."""
    if tokens_T[-1] != pad_token:
        return tokens_T
    others = np.flatnonzero(tokens_T != pad_token)
    return tokens_T[: others[-1] + 1 if others.size else 1]


def _warn_of_two_beginnings(sequences: Sequence[NDArray[np.int32]], tokenizer: Any) -> None:
    begin = tokenizer.bos_token_id
    twice = sum(len(tokens_T) > 1 and tokens_T[0] == tokens_T[1] == begin for tokens_T in sequences)
    if begin is not None and twice:
        warnings.warn(
            f"prompt_template: {counted(twice, 'prompt')} of {len(sequences):,} begin with two begin-of-text tokens "
            f"({clipped(tokenizer.bos_token)}): the tokenizer or the chat template puts one there already; take it out "
            "of prompt_template",
            stacklevel=3,
        )


def _check_embedded(
    sequences: Sequence[NDArray[np.int32]], embeddings: int, examples: Sequence[Example], tokenizer: Any
) -> None:
    for tokens_T, example in zip(sequences, examples, strict=True):
        if (beyond := int(tokens_T.max())) >= embeddings:
            token = clipped(tokenizer.convert_ids_to_tokens(beyond))
            raise DataError(
                f"example {clipped(example.id)}: its token {token} has the id {beyond}, and the base's ids end at "
                f"{embeddings - 1}: the tokenizer was extended and the model was not; use the model's own tokenizer, "
                "or a prompt without that token"
            )
