import json

import pytest

from ensemble_uq_llm.outgoing.safe_text import safe_text
from ensemble_uq_llm.outgoing.visible import visible, visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\x00b\x08c\x7f\x9b", r"a\x00b\x08c\x7f\x9b"),
        ("user\u202egpj.exe\u2069", r"user\u202egpj.exe\u2069"),
        ("pass\u200bword\ufeff", r"pass\u200bword\ufeff"),
        ("a\u200db and é\u200cé", r"a\u200db and é\u200cé"),
        ("\U000e0041tag", r"\U000e0041tag"),
        ("half \udcff", r"half \udcff"),
        ("a\u2028b\r\n\t", r"a\u2028b\r\n\t"),
    ],
)
def test_what_cannot_be_seen_is_shown(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain, größer, 中文 \u3000日本",
        "می\u200cخواهم",  # noqa: RUF001
        "क्\u200dष",
        "👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥",
        "a\N{NO-BREAK SPACE}b ↑ — …",
        r"back\slash",
    ],
)
def test_ordinary_text_stays(text):
    assert visible(text) == text


def test_what_may_stay_stays():
    assert visible("a\nb\tc\r", keep="\n") == "a\nb\\tc\\r"


def test_a_json_means_the_same_and_shows_everything():
    value = {"a\u202e": ["\x1b\x7f\x9b", "\ufeff\U000e0041\ud800", "größer", "x\ny"]}
    text = visible_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert "größer" in text
    assert visible(text, keep="\n") == text


def test_both_at_once():
    assert safe_text("\x1b https://u:p@h\n", keep="\n") == "\\x1b https://***@h\n"
