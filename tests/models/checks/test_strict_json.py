"""JSON with one meaning, in bounds."""

import re
from pathlib import Path

import pytest

from ensemble_uq_llm.models.checks.strict_json import parse_strict_json, read_strict_json

REFUSED = {
    b"{": "Expecting property name",
    b"": "Expecting value",
    b"[]": "it holds list, not a JSON object",
    b"null": "it holds NoneType, not a JSON object",
    b"\xff\xfe{": "it is not UTF-8 (byte 0)",
    b'{"a": "\xe4"}': "it is not UTF-8 (byte 7)",
    b"\xef\xbb\xbf{}": "BOM",
    b'{"a": 1, "b": {"c": 1, "c": 2}}': "the key 'c' stands there twice",
    b'{"a": NaN}': "NaN is no number",
    b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}": "its brackets are nested too deeply",
    b'{"a": ' + b"9" * 5000 + b"}": "Exceeds the limit",
}


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: repr(body[:12]))
def test_what_has_no_one_meaning_is_refused(body):
    with pytest.raises(ValueError, match=re.escape(REFUSED[body])):
        parse_strict_json(body)


def test_what_json_can_say_is_read():
    assert parse_strict_json(b'{"a": [1, 2.5, null, "\\u00e4"], "b": Infinity}') == {
        "a": [1, 2.5, None, "ä"],
        "b": float("inf"),
    }


def test_a_file_is_read_within_its_bound(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_strict_json(path) == {"a": 1}
    with pytest.raises(ValueError, match="it has 8 bytes, and no such file needs more than 7"):
        read_strict_json(path, largest=7)


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "nowhere"])
def test_no_link_is_followed_out_of_the_folder(tmp_path, target):
    path = Path(tmp_path / "a.json")
    path.symlink_to(target)
    with pytest.raises(ValueError, match=r"it (is a device|is a link to|cannot be read)"):
        read_strict_json(path)
