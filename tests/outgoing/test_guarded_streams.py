import io
import logging
import subprocess
import sys

import pytest

from ensemble_uq_llm.cli import main
from ensemble_uq_llm.outgoing.guarded_streams import RedactingStream, guarding_streams

URL = "https://user:sesame@host/x"


def test_what_is_printed_has_no_secret(capsys):
    with guarding_streams():
        print("out", URL)  # noqa: T201
        print("err", URL, file=sys.stderr)  # noqa: T201
        sys.stdout.writelines([URL, "\n"])
        handler = logging.StreamHandler()
        handler.emit(logging.LogRecord("x", logging.WARNING, "x", 1, "retry %s", (URL,), None))
    out, err = capsys.readouterr()
    assert out == "out https://***@host/x\nhttps://***@host/x\n"
    assert err == "err https://***@host/x\nretry https://***@host/x\n"


def test_nobody_is_asked():
    with guarding_streams(), pytest.raises(EOFError, match="EOF"):
        input("Run this code? [y/N] ")


class Forbidden:
    """A standard input that nobody may touch."""

    def __getattr__(self, name):
        raise AssertionError(f"standard input was asked for its {name}")


@pytest.mark.parametrize(
    "words", [["config"], ["validate", "{run}"], ["predict", "{run}"], ["train", "{run}", "--dry-run"]]
)
def test_no_command_reads_standard_input(words, own_run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Forbidden())
    with pytest.raises(SystemExit, match=r"^(0|None)$"):
        main([word.format(run=own_run) for word in words])


def test_afterwards_the_streams_are_what_they_were():
    before = sys.stdin, sys.stdout, sys.stderr
    with pytest.raises(KeyError, match="x"), guarding_streams():
        raise KeyError("x")
    assert (sys.stdin, sys.stdout, sys.stderr) == before


def test_it_is_the_stream_behind_it_but_for_its_bytes():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = RedactingStream(raw)
    assert (stream.encoding, stream.isatty(), stream.write("abc")) == ("ascii", False, 3)
    with pytest.raises(AttributeError, match="buffer"):
        _ = stream.buffer


def test_without_streams_there_is_nothing_to_guard(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with guarding_streams():
        assert sys.stderr is None


def test_the_traceback_of_a_bug_has_no_secret():
    code = f"""
from ensemble_uq_llm.cli import main
from ensemble_uq_llm.outgoing.guarded_streams import guarding_streams
with guarding_streams():
    try:
        raise OSError("at {URL}")
    except OSError as error:
        raise RuntimeError("a bug \\x1b[2J") from error
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "OSError: at https://***@host/x" in done.stderr
    assert done.stderr.endswith("RuntimeError: a bug \\x1b[2J\n")
    assert "sesame" not in done.stderr
