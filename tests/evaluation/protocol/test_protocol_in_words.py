from dataclasses import fields, replace

import pytest

from ensemble_uq_llm.evaluation.protocol.protocol_in_words import (
    NOT_KNOWN,
    other_protocol_line,
    protocol_line,
    protocol_parts,
)
from ensemble_uq_llm.evaluation.records import Protocol
from small_protocols import KNOWN


def test_the_whole_sentence():
    assert protocol_line(KNOWN) == (
        r"Protocol: base SmolLM2.gguf (0123456789ab), bfloat16; prompt 'Q: {question}\nA:', no chat template, 1,024 "
        "tokens at most; answers by the base's own tokens ' no' (token 645), ' yes' (token 4098), read at the last "
        "token of the prompt; members 4, their probabilities averaged, LoRA of rank 8 and alpha 16 on q of "
        "layers 15-29 and the LM head; training 2,250 rows of train.jsonl (fedcba987654), none cut, 141 steps x 16 "
        "rows, 1 epoch, rate 0.0005, 10 warm-up steps, weight decay 0.01, gradients clipped at 1, dropout 0.1; "
        "evaluated 1,000 rows of sst2[validation] (aaaabbbbcccc), 3 cut; calibration on 250 rows; ECE in 15 bins of "
        "equal width."
    )


def test_what_is_switched_off_is_not_given_a_number():
    said = dict(protocol_parts(replace(KNOWN, max_grad_norm=0.0, class_weights="balanced")))["Training"]
    assert said.endswith("gradients not clipped, dropout 0.1, class weights balanced")


def test_of_nothing_known_every_part_says_so():
    assert {text for _, text in protocol_parts(Protocol())} == {NOT_KNOWN}
    assert protocol_line(Protocol()) == (
        "Protocol: not known: base, prompt, answers, members, training, evaluated, calibration and ECE."
    )


@pytest.mark.parametrize("name", [each.name for each in fields(Protocol)])
def test_no_field_can_change_or_vanish_unseen(name):
    value = getattr(KNOWN, name)
    named = {each for name in ("base", "trained_on", "evaluated_on") for each in (name, f"{name}_digest")}
    if name not in named | {"base_revision", "kept_epochs", "keep", "adapters", "maker"}:
        gone = protocol_line(replace(KNOWN, **{name: () if isinstance(value, tuple) else None}))
        assert NOT_KNOWN in gone or "by tokens of the base" in gone
    other = {bool: True, int: 77, float: 0.77, str: "other", tuple: ()}[type(value)] if value is not None else "other"
    other = {"dtype": "float32", "head": "classification", "adapters": "none", "keep": "best", "steps": (7,),
             "modules": ("v_proj",), "answers": ("a", "b"), "answer_token_ids": (1, 2)}.get(name, other)  # fmt: skip
    if name != "kept_epochs":  # said with the best ones alone
        assert protocol_line(replace(KNOWN, **{name: other})) != protocol_line(KNOWN)


def test_the_base_alone_has_no_adapter_and_no_training():
    alone = Protocol(base="tiny", adapters="none", members=1)
    assert dict(protocol_parts(alone)) | {"Members": "the base alone, no adapter", "Training": "none"} == dict(
        protocol_parts(alone)
    )


def test_members_one_by_one_and_the_best_epochs():
    line = protocol_line(replace(KNOWN, steps=(12, 8), keep="best", kept_epochs=(3, 2), epochs=3))
    assert "steps of the members 12, 8 x 16 rows, 3 epochs, the best kept (3, 2)" in line


def test_long_texts_are_clipped_and_many_answers_counted():
    long = replace(KNOWN, prompt="x" * 5000, answers=tuple("ABCDEFGHIJ"), answer_token_ids=tuple(range(10)))
    line = protocol_line(replace(long, base="b" * 500))
    assert "and 4 more" in line
    assert len(line) < 1000


def test_another_set_is_told_by_what_it_has_otherwise():
    other = replace(KNOWN, evaluated_on="far.jsonl", evaluated_on_digest="1" * 64, evaluated_rows=1)
    assert other_protocol_line("far", other, KNOWN) == (
        "Protocol of far: the same, but evaluated 1 row of far.jsonl (111111111111), 3 cut."
    )
    assert other_protocol_line("same", KNOWN, KNOWN) == ""


def test_samples_are_told_with_their_maker_and_trained_members_without():
    assert "averaged, samples by tfb, LoRA of rank 8" in protocol_line(replace(KNOWN, maker="tfb"))
    assert "averaged, LoRA of rank 8" in protocol_line(KNOWN)
