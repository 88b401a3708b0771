"""Streams of a command: whatever prints - libraries, their logs, a traceback - prints no secret, and nobody reads."""

import io
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO, cast

from ensemble_uq_llm.outgoing.redaction import redacted
from ensemble_uq_llm.outgoing.safe_text import safe_text


class RedactingStream:
    """A text stream that hides secrets; in everything else it is the stream behind it.

    What lies below the texts (`buffer`) it does not show, as whoever wrote there would go past it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text without its secrets."""
        self._stream.write(redacted(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts without their secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return what the stream behind has."""
        if name in ("buffer", "_stream"):
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextmanager
def guarding_streams() -> Iterator[None]:
    """Within it standard output and standard error hide secrets, and standard input is empty: no library may ask.

    It stands at the command line's door, and where processes begin. An error that is a bug of ours ends the process
    outside of it, so its traceback is guarded from then on.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = io.StringIO()
    sys.stdout, sys.stderr = (stream and cast("TextIO", RedactingStream(stream)) for stream in before[1:])
    try:
        yield
    except Exception:
        sys.excepthook = _show_traceback  # not before: typer puts a hook of its own there
        raise
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    print(safe_text(text, keep="\n"), end="", file=sys.stderr)  # noqa: T201 (in the interpreter's place)
