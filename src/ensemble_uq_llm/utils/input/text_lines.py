"""A text file line by line: UTF-8 and nothing else, and no line without end."""

from collections.abc import Iterator
from typing import Final

from ensemble_uq_llm.utils.input.input_file import InputFile
from ensemble_uq_llm.utils.input.problems import Problems

LONGEST_LINE: Final = 16 * 2**20
BOM: Final = b"\xef\xbb\xbf"
_PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip (or a spreadsheet)",
    b"PAR1": "Parquet",
}
"""How files begin that are no text, though their name may say so."""


def numbered_lines(file: InputFile, problems: Problems) -> Iterator[tuple[int, bytes]]:
    """Yield every line of a file with its number from 1, without the mark (BOM) with which UTF-8 may begin."""
    file.stream.seek(0)
    line = 0
    while raw := file.stream.readline(LONGEST_LINE + 1):
        line += 1
        if len(raw) > LONGEST_LINE:
            problems.stop(line, f"longer than {LONGEST_LINE:,} bytes; a line holds one row (Parquet has no such limit)")
        if line == 1:
            _check_is_text(raw, problems)
            raw = raw.removeprefix(BOM)
        yield line, raw


def decoded(raw: bytes, line: int, problems: Problems) -> str | None:
    """Return a line's text; None, and a problem, where it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = f"byte {error.start} of the line (0x{raw[error.start]:02x})"
        problems.add(line, f"{bad} is not UTF-8; save the file as UTF-8")
        return None


def _check_is_text(first: bytes, problems: Problems) -> None:
    if packed := next((kind for mark, kind in _PACKED.items() if first.startswith(mark)), None):
        problems.stop(1, f"the file is no text but {packed}; unpack or convert it, or correct its ending")
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.stop(1, "the file is UTF-16; save it as UTF-8")
    if b"\x00" in first[:1000]:
        problems.stop(1, "holds zero bytes, so it is no text in UTF-8 (UTF-16, or a binary file?)")
