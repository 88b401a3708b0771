"""Words in messages: clipped, listed, counted."""

import pytest

from ensemble_uq_llm.utils.text import as_word, clipped, counted, cut, duration, enumerated, listed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", "'a'"),
        ("x" * 81, repr("x" * 80) + "..."),
        ([1, 2], "a list of 2"),
        ({"a": 1}, "an object"),
        (10**90, "1" + "0" * 79 + "..."),
    ],
)
def test_a_value_in_a_message_is_short(value, shown):
    assert clipped(value) == shown


@pytest.mark.parametrize("where", ["user", "password", "after"])
def test_a_secret_is_hidden_before_a_text_is_cut(where):
    long = dict.fromkeys(("user", "password", "after"), "x" * 8) | {where: "x" * 70}
    text = f"https://{long['user']}:canary{long['password']}@{long['after']}"
    assert "canary" in text[:90]
    assert "canary" not in clipped(text) + cut(text) + cut(text, 90)


def test_a_text_that_is_cut_has_no_quotes():
    assert cut("x" * 80) == "x" * 80
    assert cut("x" * 81) == "x" * 80 + "..."
    assert len(cut("x" * 100_000, 5_000)) == 5_003


def test_a_long_list_ends_in_a_count():
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(range(5), most=2) == "0, 1 and 3 more"


@pytest.mark.parametrize(("words", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_words_as_a_sentence_lists_them(words, said):
    assert enumerated(words) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0 rows"), (1, "1 row"), (3270, "3,270 rows")])
def test_things_are_counted(number, said):
    assert counted(number, "row") == said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7534, "2 h 6 min")],
)
def test_a_time_in_its_two_largest_units(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(("path", "word"), [("a/b", "a/b"), ("a b", "'a b'"), ("-a", "./-a"), ("a-", "a-"), ("", "''")])
def test_a_path_as_a_word_of_a_command(path, word):
    assert as_word(path) == word
