from dataclasses import fields, replace

import pytest

from ensemble_uq_llm.evaluation.protocol.protocols_beside import differences_in_words, protocol_lines, protocols_beside
from ensemble_uq_llm.evaluation.records import Protocol
from small_protocols import KNOWN


def test_one_protocol_has_no_difference_from_itself():
    beside = protocols_beside(KNOWN, KNOWN)
    assert (beside.differs_in, beside.known_of_one) == ((), ())
    assert list(differences_in_words(beside)) == []


@pytest.mark.parametrize("name", [each.name for each in fields(Protocol) if each.name not in ("base_revision",)])
def test_every_field_that_differs_is_named(name):
    value = getattr(KNOWN, name)
    other = {bool: True, int: 77, float: 0.77, str: "other", tuple: (7, 8, 9)}[type(value)]
    beside = protocols_beside(KNOWN, replace(KNOWN, **{name: other}))
    is_mere_name = f"{name}_digest" in {each.name for each in fields(Protocol)}
    assert beside.differs_in == (() if is_mere_name else (name,))
    assert len(list(differences_in_words(beside))) == len(beside.differs_in)


def test_names_count_where_the_digests_are_not_the_same():
    beside = protocols_beside(KNOWN, replace(KNOWN, base="other", base_digest="ffff" * 16))
    assert beside.differs_in == ("base", "base_digest")
    [sentence] = differences_in_words(beside)
    assert "the base's files (0123456789ab and ffffffffffff)" in sentence


def test_what_is_known_of_one_side_is_no_difference_but_is_said():
    beside = protocols_beside(Protocol(members=4, ece_bins=15), replace(KNOWN, members=5))
    assert beside.differs_in == ("members",)
    assert {"prompt", "steps", "lora_r"} <= set(beside.known_of_one)
    first, second = differences_in_words(beside)
    assert first == "The protocols of A and B differ in the number of members (4 and 5)."
    assert second.startswith("Of A alone it is not known: the base's name, ")


def test_what_cannot_be_known_is_not_missed():
    head = replace(KNOWN, head="classification", answers=(), answer_token_ids=())
    assert protocols_beside(KNOWN, head).known_of_one == ()
    alone = replace(KNOWN, adapters="none", steps=(), batch=None, lora_r=None)
    beside = protocols_beside(KNOWN, alone)
    assert (beside.differs_in, beside.known_of_one) == (("adapters",), ())


def test_the_lines_of_both_sides():
    a, b = protocol_lines(protocols_beside(KNOWN, Protocol()))
    assert a.startswith("Protocol of A: base SmolLM2.gguf")
    assert b.startswith("Protocol of B: not known: base")
