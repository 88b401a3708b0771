"""What stands around every prompt: nothing but the tokenizer's own special tokens, or the turns of a chat."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ensemble_uq_llm.errors import DataError, is_panic
from ensemble_uq_llm.utils.text import clipped, counted, first_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The text before and after a prompt, and how both together become tokens."""

    before: str = ""
    after: str = ""
    trims: bool = False
    """Whether white space at the prompt's two ends is left out, as many chat templates do."""
    is_chat: bool = False
    """A chat's special tokens stand in its text, so the tokenizer adds none of its own."""
    gap: str = ""
    """The spaces with which a chat's replies begin, such as Mistral's; they are none of the prompt's."""
    ends: bool = False
    """Whether the tokenizer's end-of-text token comes last. It never does unasked."""

    def around(self, prompt: str) -> str:
        """Return the text that is tokenised for a prompt."""
        return self.before + (prompt.strip() if self.trims else prompt) + self.after

    def start_of(self, prompt: str) -> int:
        """Return where the prompt's first character is in that text, or would be if it is trimmed."""
        return len(self.before) - (len(prompt) - len(prompt.lstrip()) if self.trims else 0)


PLAIN: Final = Frame()


def encode(
    tokenizer: Any, prompts: list[str], *, offsets: bool = False, frame: Frame = PLAIN
) -> dict[str, list[list[Any]]]:
    """Tokenise a list of texts in one call, with the special tokens that the tokenizer puts before a text.

    The texts are as `Frame.around` makes them. An end-of-text token that a tokenizer puts behind every text is left
    out, unless the frame asks for one. With `offsets` the answer has `offset_mapping` too, if the tokenizer can tell
    it.

    Raises:
        DataError: the tokenizer's own code gives up on these texts.
    """
    with_offsets = {"return_offsets_mapping": True} if offsets and tokenizer.is_fast else {}
    found = _tokenised(tokenizer, prompts, frame, **with_offsets)
    end = tokenizer.eos_token_id
    if end is None:
        return found
    probe = _tokenised(tokenizer, ["a"], frame)["input_ids"][0]
    has_end = len(probe) > 1 and probe[-1] == end
    if has_end and not frame.ends:
        return {name: [each[:-1] for each in rows] for name, rows in found.items()}
    if frame.ends and not has_end:
        found["input_ids"] = [[*each, end] for each in found["input_ids"]]
        if "offset_mapping" in found:
            found["offset_mapping"] = [[*each, (0, 0)] for each in found["offset_mapping"]]
    return found


def _tokenised(tokenizer: Any, texts: list[str], frame: Frame, **options: Any) -> dict[str, list[list[Any]]]:
    with _named_panic(len(texts)):
        found = tokenizer(
            texts,
            add_special_tokens=not frame.is_chat,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # no advice about the model's longest prompt: ours is enforced here
            **options,
        )
    return {name: list(rows) for name, rows in found.items()}


@contextmanager
def _named_panic(number: int) -> Iterator[None]:
    """Name a tokenizer that panics over texts."""
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        raise DataError(
            f"the tokenizer of the base fails at one of {counted(number, 'prompt')}: {clipped(first_line(error))}; "
            "look for odd characters in their texts, or get the base's tokenizer.json again"
        ) from error
