"""Characters that nobody sees but that change what is seen: shown by their numbers, as Python does.

Control characters (a terminal obeys them), overrides of the direction of writing, widths of zero, and half a pair of
surrogates, which no file can hold. Joiners within scripts and pictures that need them are ordinary text.
"""

import re
import unicodedata
from typing import Final

_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_JOINERS: Final = "\u200c\u200d"
_PRESENTED_AS_PICTURE: Final = "\ufe0f"


def visible(text: str, *, keep: str = "") -> str:
    r"""Return a text with `\x1b` in place of what cannot be seen; `keep` names what may stay, such as line breaks."""

    def shown(match: re.Match[str]) -> str:
        character = match[0]
        if character in keep or (character in _JOINERS and _stands_in_script(text, match.start())):
            return character
        return character.encode("unicode_escape").decode("ascii")

    return text if text.isascii() and text.isprintable() else _INVISIBLE.sub(shown, text)


def visible_json(text: str) -> str:
    """Return a JSON text that means the same and has nothing invisible but the line breaks between its values."""
    return _INVISIBLE.sub(lambda match: match[0] if match[0] == "\n" else _json_escape(match[0]), text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def _stands_in_script(text: str, at: int) -> bool:
    return 0 < at < len(text) - 1 and _takes_joiners(text[at - 1]) and _takes_joiners(text[at + 1])


def _takes_joiners(character: str) -> bool:
    """Tell the scripts from Arabic to those of India and their neighbours, and pictures."""
    is_script = "\u0600" <= character <= "\u1cff" and not _INVISIBLE.match(character)
    return is_script or character == _PRESENTED_AS_PICTURE or unicodedata.category(character) in ("So", "Sk")
