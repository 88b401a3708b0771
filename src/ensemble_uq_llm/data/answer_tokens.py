"""Which token is a class' answer: the one by which the prompt grows when the answer follows it."""

import warnings
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any, Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.prepare import frame_of
from ensemble_uq_llm.data.prompting.frame import Frame, encode
from ensemble_uq_llm.data.prompts import parse_template
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.text import clipped, counted, listed

_STAND_INS: Final = ("text", "A text.", "7", "why?")
"""What stands in the place of every column. The answers' tokens must be the same after each: rows have any text."""

_MOST_SHOWN: Final = 5
_MOST_PIECES: Final = 8


def answer_token_ids(config: Config, tokenizer: Any) -> tuple[int, ...] | None:
    """Return each class' answer token, in the order of the classes; None without the answer head.

    `tokenizer` is a base's (`load_tokenizer`). The tokens are those in context: a bare `True` and one that follows a
    colon and a space are two different tokens. Warns of class names as answers in a chat whose replies begin with a
    space.

    Raises:
        ConfigError: answers that are not one token each after the prompt, and each a different one; the message shows
            the pieces.
    """
    answers = config.answer_texts
    if answers is None:
        return None
    template = parse_template(config.prompt_template)
    frame = frame_of(config, tokenizer.tokenizer)
    prompts = [frame.around(template.render(dict.fromkeys(template.columns, text))) for text in _STAND_INS]
    found = [_following(tokenizer.tokenizer, prompt, answers, frame) for prompt in prompts]
    _check_one_each(answers, found[0], tokenizer.tokenizer, prompts[0], frame)
    if any(pieces != found[0] for pieces in found):
        raise ConfigError(
            f"prompt_template {clipped(config.prompt_template)}: which tokens {listed(answers, most=_MOST_SHOWN)} "
            "become depends on the text before; end the template with literal text, such as 'Answer:'"
        )
    tokens = tuple(token for (token,) in found[0])
    _check_known(answers, tokens, tokenizer.embeddings)
    if config.answers is None:
        _warn_of_gap(answers, tokenizer.tokenizer, prompts[0], frame)
    return tokens


def _following(tokenizer: Any, prompt: str, answers: Sequence[str], frame: Frame) -> list[tuple[int, ...]]:
    """Return the tokens that every answer adds to a prompt."""
    before, *after = encode(tokenizer, [prompt, *(prompt + answer for answer in answers)], frame=frame)["input_ids"]
    for answer, tokens in zip(answers, after, strict=True):
        if tokens[: len(before)] != before:
            ends = (tokenizer.convert_ids_to_tokens(each[-3:]) for each in (before, tokens))
            raise ConfigError(
                f"answers: {clipped(answer)} changes the tokens of the prompt that it follows, whose end "
                f"{next(ends)} becomes {next(ends)}; begin the answers with the space, and end prompt_template without "
                "it"
            )
    return [tuple(tokens[len(before) :]) for tokens in after]


def _check_one_each(
    answers: Sequence[str], pieces: Sequence[tuple[int, ...]], tokenizer: Any, prompt: str, frame: Frame
) -> None:
    shown = [
        f"{clipped(answer)} is {_in_pieces(own, tokenizer)}"
        for answer, own in zip(answers, pieces, strict=True)
        if len(own) != 1
    ]
    if shown:
        others = _that_would_do(answers, tokenizer, prompt, frame)
        more = f" and {counted(len(shown) - _MOST_SHOWN, 'other')}" if len(shown) > _MOST_SHOWN else ""
        raise ConfigError(
            f"answers: each must be one token after the prompt, and {'; '.join(shown[:_MOST_SHOWN])}{more}; give "
            f"others with the key answers{others}, and name them in the prompt"
        )
    owner: dict[tuple[int, ...], str] = {}
    for answer, own in zip(answers, pieces, strict=True):
        if (other := owner.setdefault(own, answer)) != answer:
            raise ConfigError(
                f"answers: {clipped(other)} and {clipped(answer)} are one and the same token after the prompt, "
                f"{tokenizer.convert_ids_to_tokens(list(own))}; give every class its own"
            )


def _warn_of_gap(answers: Sequence[str], tokenizer: Any, prompt: str, frame: Frame) -> None:
    """Warn of answers without the space with which replies begin, if each were one token with it, too."""
    spaced = [frame.gap + answer for answer in answers]
    if frame.gap and all(len(own) == 1 for own in _following(tokenizer, prompt, spaced, frame)):
        warnings.warn(
            f"answers: by its chat template the base begins replies with {clipped(frame.gap)}, and the classes' names "
            f"are read without it, which it would hardly say; set answers: [{listed(spaced, most=len(spaced))}]",
            stacklevel=3,
        )


def _in_pieces(own: Sequence[int], tokenizer: Any) -> str:
    shown = f"{tokenizer.convert_ids_to_tokens(list(own[:_MOST_PIECES]))}"
    return shown if len(own) <= _MOST_PIECES else f"{shown} and {len(own) - _MOST_PIECES} more"


def _that_would_do(answers: Sequence[str], tokenizer: Any, prompt: str, frame: Frame) -> str:
    """Return answers that are one token each, as an example; nothing where none of the usual ones are."""
    letters = ascii_uppercase[: len(answers)]
    bare = [answer.strip() for answer in answers]
    for tried in (bare, [f" {letter}" for letter in letters], [*letters], [letter.lower() for letter in letters]):
        try:
            pieces = _following(tokenizer, prompt, tried, frame)
        except ConfigError:
            continue
        if len(tried) == len(answers) == len(set(pieces)) and all(len(own) == 1 for own in pieces):
            return f", such as [{listed(tried)}]"
    return ""


def _check_known(answers: Sequence[str], tokens: Sequence[int], embeddings: int) -> None:
    for answer, token in zip(answers, tokens, strict=True):
        if token >= embeddings:
            raise ConfigError(
                f"answers: the token of {clipped(answer)} has the id {token}, and the base's ids end at "
                f"{embeddings - 1}; use the model's own tokenizer, or another answer"
            )
