"""Files of rows as strangers bring them: spoilt bytes, and cells of which it is known what they mean, if anything."""

import io
import json
import random
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

IDS = ("a", "b", "007", "ü;x", "d 4")
PROBS = (0.25, 0.5, 0.125, 0.75, 1.0)
LABELS = (1, 0, None, 1, 0)

LABEL_CELLS = {
    "1": 1, "0": 0, "1.0": 1, "true": 1, "False": 0, "": None, " 1": 1, "1e0": 1, "NaN": None,
    "01": "refused", "\uff11": "refused", "0_1": "refused", "2": "refused", "-1": "refused", "1e400": "refused",
    "9" * 5000: "refused", "0.5": "refused", "yes": "refused", "0x1": "refused", "1970-01-01": "refused",
    "inf": "refused", "\x00": "refused", "[1]": "refused",
}  # fmt: skip
"""What a cell of a text file means as a label of two classes."""

PROB_CELLS = {
    "0.25": 0.25, " 0.5": 0.5, "1e-1": 0.1, "0." + "3" * 5000: 1 / 3, ".5": 0.5,
    "": "refused", "nan": "refused", "-inf": "refused", "1e400": "refused", "true": "refused", "\uff10.5": "refused",
    "0,5": "refused", "0x1p-1": "refused", "0_1": "refused", "1.5": "refused", "1970-01-01": "refused",
    "00:00:00": "refused", "9" * 5000: "refused", "\x00": "refused",
}  # fmt: skip
"""The same of the probability of class 1."""

Expected = tuple[tuple[int | None, ...], tuple[float, ...]] | None
"""Labels and probabilities, or None where the file must be refused."""


def prediction_files() -> dict[str, bytes]:
    """Return sound files of predictions, by their endings."""
    rows = list(zip(IDS, LABELS, PROBS, strict=True))
    cells = [("id", "label", "prob"), *((id_, "" if label is None else label, prob) for id_, label, prob in rows)]
    objects = [dict(zip(("id", "label", "prob"), row, strict=True)) for row in rows]
    table, parquet, npz = pa.Table.from_pylist(objects), io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet, write_page_checksum=True)
    numbers = np.array([-1 if label is None else label for label in LABELS])
    np.savez(npz, probs=np.array(PROBS), labels=numbers, ids=np.array(IDS))
    return {
        ".csv": "".join(",".join(map(str, row)) + "\n" for row in cells).encode(),
        ".tsv": "".join("\t".join(map(str, row)) + "\n" for row in cells).encode(),
        ".jsonl": "".join(json.dumps(row) + "\n" for row in objects).encode(),
        ".parquet": parquet.getvalue(),
        ".npz": npz.getvalue(),
    }


def data_files() -> dict[str, bytes]:
    """Return sound files of questions, by their endings."""
    rows = [
        {"id": id_, "question": f"is {id_} it?", "answer": label or 0} for id_, label in zip(IDS, LABELS, strict=True)
    ]
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), parquet, write_page_checksum=True)
    return {
        ".csv": "".join(",".join(map(str, row)) + "\n" for row in [rows[0], *(row.values() for row in rows)]).encode(),
        ".jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        ".parquet": parquet.getvalue(),
    }


def spoilt(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to three of them altered, lost, doubled, moved, or replaced by hostile ones."""
    spoiled = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at, other = (rng.randrange(len(spoiled) + 1) for _ in range(2))
        low, high = min(at, other), max(at, other)
        kind = rng.randrange(6)
        if kind == 0 and at < len(spoiled):
            spoiled[at] = rng.randrange(256)
        elif kind == 1 and at < len(spoiled):
            spoiled[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del spoiled[at : at + rng.randint(1, 8)]
        elif kind == 3:
            spoiled[at:at] = spoiled[low : min(high, low + 64)]
        elif kind == 4:
            spoiled[at:at] = rng.choice(_HOSTILE)
        else:
            del spoiled[max(1, at) :]
    return bytes(spoiled)


def written_text(ending: str, rng: random.Random) -> tuple[bytes, Expected]:
    """Return a text file of predictions with odd cells, and what it says by the rules of the documentation."""
    labels, probs = list(map(_label_cell, LABELS)), list(map(str, PROBS))
    expected_labels: list[object] = list(LABELS)
    expected_probs: list[object] = list(PROBS)
    for _ in range(rng.randint(1, 2)):
        row = rng.randrange(len(IDS))
        if rng.random() < 0.5:
            labels[row], expected_labels[row] = rng.choice(list(LABEL_CELLS.items()))
        else:
            probs[row], expected_probs[row] = rng.choice(list(PROB_CELLS.items()))
    rows = [("id", "label", "prob"), *zip(IDS, labels, probs, strict=True)]
    content = _LAYOUTS[ending](rows)
    if "refused" in (*expected_labels, *expected_probs):
        return content, None
    return content, (tuple(expected_labels), tuple(expected_probs))


def _label_cell(label: int | None) -> str:
    return "" if label is None else str(label)


def _delimited(separator: str) -> Callable[[list[tuple[str, ...]]], bytes]:
    def written(rows: list[tuple[str, ...]]) -> bytes:
        return "".join(separator.join(f'"{cell}"' for cell in row) + "\n" for row in rows).encode()

    return written


def _json_lines(rows: list[tuple[str, ...]]) -> bytes:
    return "".join(json.dumps(dict(zip(rows[0], row, strict=True))) + "\n" for row in rows[1:]).encode()


_LAYOUTS = {".csv": _delimited(","), ".tsv": _delimited("\t"), ".jsonl": _json_lines}

_HOSTILE = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"\n", b"\r", b",", b"\t", b"[" * 3000, b'{"a":' * 400, b"9" * 5000,
    b"NaN", b"-Infinity", b"1e400", b"\\ud83d", b"\xed\xa0\xbd", b"null", b"true", b'"prob": 0.5, ', b"\xe2\x80\xae",
    b"PAR1", b"PK\x05\x06", b"\xff" * 9, b"x" * 70_000,
)  # fmt: skip
