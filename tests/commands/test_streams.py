import io
import json
import sys

import pytest

from ensemble_uq_llm.cli import main
from ensemble_uq_llm.commands import streams
from ensemble_uq_llm.predictions.parquet import write_predictions
from small_predictions import predicted

ENCODINGS = ["ascii", "cp1252", "latin-1", "utf-8", "utf-16"]
UP, DASH, SHORTER = "\N{UPWARDS ARROW}", "\N{EM DASH}", "\N{LESS-THAN OR EQUAL TO}"


@pytest.fixture
def printed(monkeypatch):
    """What a piece of work prints on a strict standard output of an encoding."""

    def call(work, encoding):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="", write_through=True))
        work()
        return raw.getvalue().decode(encoding)

    return call


def shown(text):
    def work():
        streams.forgive_encodings()
        sys.stdout.write(text)

    return work


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_our_own_characters_become_plain_ones_and_others_their_numbers(printed, encoding):
    text = f"{UP} {DASH} {SHORTER} größer 中 \udcff"
    expected = {
        "ascii": "^ - <= gr\\xf6\\xdfer \\u4e2d \\udcff",
        "cp1252": f"^ {DASH} <= größer \\u4e2d \\udcff",
        "latin-1": "^ - <= größer \\u4e2d \\udcff",
    }
    assert printed(shown(text), encoding) == expected.get(encoding, text.replace("\udcff", "\\udcff"))


def test_every_plain_character_can_be_shown_everywhere():
    assert "".join(streams.PLAIN.values()).isascii()
    assert all(len(plain) <= 3 for plain in streams.PLAIN.values())


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("words", [["--json"], ["--format", "markdown"], ["--format", "latex"], []])
def test_an_evaluation_reaches_a_stream_of_any_encoding(printed, tmp_path, encoding, words):
    path = tmp_path / "größe_中.parquet"
    write_predictions(path, predicted(n=30))

    def work():
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["evaluate", str(path), "--draws", "100", *words])

    text = printed(work, encoding)

    if words == ["--json"]:
        assert list(json.loads(text)) == ["größe_中"]
    elif encoding in ("ascii", "cp1252"):
        assert "Accuracy ^" in text or r"\uparrow" in text
