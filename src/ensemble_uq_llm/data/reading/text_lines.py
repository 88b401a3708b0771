"""A text file line by line: UTF-8 and nothing else, and no line without end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ensemble_uq_llm.data.reading.problems import Problems

LONGEST_LINE: Final = 16 * 2**20
BOM: Final = b"\xef\xbb\xbf"


def numbered_lines(path: Path, problems: Problems) -> Iterator[tuple[int, bytes]]:
    """Yield every line of a file with its number from 1, without the mark (BOM) with which UTF-8 may begin."""
    with path.open("rb") as file:
        line = 0
        while raw := file.readline(LONGEST_LINE + 1):
            line += 1
            if len(raw) > LONGEST_LINE:
                problems.stop(line, f"longer than {LONGEST_LINE:,} bytes; a line holds one row")
            if line == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                problems.stop(line, "the file is UTF-16; save it as UTF-8")
            if line == 1 and b"\x00" in raw[:1000]:
                problems.stop(line, "holds zero bytes, so it is no text in UTF-8 (UTF-16, or a binary file?)")
            yield line, raw.removeprefix(BOM) if line == 1 else raw


def decoded(raw: bytes, line: int, problems: Problems) -> str | None:
    """Return a line's text; None, and a problem, where it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = f"byte {error.start} of the line (0x{raw[error.start]:02x})"
        problems.add(line, f"{bad} is not UTF-8; save the file as UTF-8")
        return None
