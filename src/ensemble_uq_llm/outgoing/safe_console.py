"""The console for people: texts and tables come out without secrets, and with everything in them visible."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from ensemble_uq_llm.outgoing.safe_text import safe_text


class SafeConsole(Console):
    """A console of rich's that shows any text as it is, but safe; a text that has to change loses its colours."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **how: Any) -> Text:
        """Return a text to be shown, made safe before it is measured and broken into lines."""
        return super().render_str(safe_text(text, keep="\n"), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render whatever is shown, the texts in it made safe."""
        return super().render(safe(renderable) if isinstance(renderable, Text) else renderable, options)


def safe(text: Text) -> Text:
    """Return a text of rich's that is safe, the same one where it was."""
    plain = safe_text(text.plain, keep="\n")
    return text if plain == text.plain else text.blank_copy(plain)
