"""Libraries are quoted at a bearable length."""

from ensemble_uq_llm.models.checks.quotes import LONGEST_QUOTE, quoted


def test_a_short_line_is_quoted_whole():
    assert quoted(ValueError("no such key\nand much more")) == "no such key"


def test_a_long_line_is_clipped():
    assert quoted(ValueError("x" * 5000)) == "x" * LONGEST_QUOTE + "..."
