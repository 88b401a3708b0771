"""The one thing to do with a text that leaves for eyes: no secret in it, and nothing that cannot be seen."""

from ensemble_uq_llm.outgoing.redaction import redacted
from ensemble_uq_llm.outgoing.visible import visible


def safe_text(text: str, *, keep: str = "") -> str:
    """Return a text for a terminal, a message or a page; `keep` names invisible characters that may stay."""
    return visible(redacted(text), keep=keep)
