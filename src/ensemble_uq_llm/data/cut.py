"""Cut the end of one field's text until a prompt fits: as many of its tokens stay as can."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.text import clipped, counted, first_line

GUIDED_ROUNDS: Final = 6
PANIC: Final = "PanicException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt in three parts: what stands before the text that may be cut, that text, what follows."""

    id: str
    before: str
    text: str
    after: str

    def cut_at(self, end: int) -> str:
        """Return the prompt with only the first `end` characters of the text."""
        return self.before + self.text[:end] + self.after


class CutSearch:
    """The search for the longest text with which one prompt has at most `max_length` tokens.

    The places to cut are the ends of the text's tokens. Because a cut can change the tokens next to it,
    each guess is tokenised again; the first guesses jump by the number of tokens that are missing or too
    many (one or two nearly always suffice), later ones halve the range that is left.
    """

    def __init__(self, prompt: Prompt, *, places: Sequence[int], length: int, max_length: int) -> None:
        self.prompt = prompt
        self.best: list[int] | None = None
        """The tokens of the longest prompt that fits so far; None as long as none did."""
        self._places = places
        self._max_length = max_length
        self._low, self._high = -1, len(places)  # the longest that fits, the shortest that does not
        self._rounds = 0
        self._guess = self._inside(len(places) - (length - max_length))

    @property
    def is_done(self) -> bool:
        """Whether no longer cut can fit (or, with `best` None, not even the empty text)."""
        is_full = self.best is not None and len(self.best) == self._max_length
        return is_full or self._high - self._low <= 1

    def guess(self) -> str:
        """Return the prompt to tokenise next."""
        return self.prompt.cut_at(self._places[self._guess])

    def learn(self, tokens: list[int]) -> None:
        """Take the tokens of the guess into account."""
        room = self._max_length - len(tokens)
        if room >= 0:
            self._low, self.best = self._guess, tokens
        else:
            self._high = self._guess
        self._rounds += 1
        is_guided = self._rounds < GUIDED_ROUNDS
        self._guess = self._inside(self._guess + room if is_guided else (self._low + self._high) // 2)

    def _inside(self, guess: int) -> int:
        return max(self._low + 1, min(guess, self._high - 1))


def cut_to_fit(prompts: Sequence[Prompt], *, tokenizer: Any, max_length: int) -> list[list[int] | None]:
    """Return each too long prompt's tokens, at most `max_length`; None if no cut of the text suffices."""
    found = encode(tokenizer, [prompt.cut_at(len(prompt.text)) for prompt in prompts], offsets=True)
    offsets = found.get("offset_mapping") or [None] * len(prompts)
    searches = [
        CutSearch(prompt, places=_places(prompt, spans), length=len(tokens), max_length=max_length)
        for prompt, tokens, spans in zip(prompts, found["input_ids"], offsets, strict=True)
    ]
    while active := [search for search in searches if not search.is_done]:
        guesses = encode(tokenizer, [search.guess() for search in active])["input_ids"]
        for search, tokens in zip(active, guesses, strict=True):
            search.learn(tokens)
    return [search.best for search in searches]


def encode(tokenizer: Any, prompts: list[str], *, offsets: bool = False) -> dict[str, Any]:
    """Tokenise a list of prompts in one call, with the special tokens that the tokenizer adds by itself.

    With `offsets` the answer has `offset_mapping` too, if the tokenizer can tell it.

    Raises:
        DataError: the tokenizer's own code gives up on these texts.
    """
    with_offsets = {"return_offsets_mapping": True} if offsets and tokenizer.is_fast else {}
    with _named_panic(len(prompts)):
        return dict(
            tokenizer(
                prompts,
                truncation=False,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,  # no advice about the model's longest prompt: ours is enforced here
                **with_offsets,
            )
        )


@contextmanager
def _named_panic(number: int) -> Iterator[None]:
    """Name a tokenizer that panics over texts. That is no `Exception`, and known by its name alone."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise DataError(
            f"the tokenizer of the base fails at one of {counted(number, 'prompt')}: {clipped(first_line(error))}; "
            "look for odd characters in their texts, or get the base's tokenizer.json again"
        ) from error


def _places(prompt: Prompt, spans: Sequence[tuple[int, int]] | None) -> list[int]:
    """Return the lengths, ascending from 0, to which the text may be cut."""
    if spans is None:  # a tokenizer that cannot tell its offsets: every character
        return list(range(max(len(prompt.text), 1)))
    begin = len(prompt.before)
    return sorted({0, *(end - begin for _, end in spans if begin < end < begin + len(prompt.text))})
