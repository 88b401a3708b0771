import math
from dataclasses import replace

import pytest

from ensemble_uq_llm.evaluation.evaluate import evaluate_sets
from ensemble_uq_llm.evaluation.protocol.known_of_predictions import common, known_of_predictions, typed, typed_list
from ensemble_uq_llm.evaluation.quality.calibration import ECE_BINS
from ensemble_uq_llm.evaluation.records import Protocol
from small_predictions import predicted
from small_protocols import SCALE, SETTINGS, with_origin


def test_predictions_of_another_system_tell_their_size_and_nothing_else():
    known = known_of_predictions(predicted(n=70), calibration_rows=0)
    assert known == Protocol(
        evaluated_rows=70, calibration_rows=0, members=3, pooling="probabilities", ece_bins=ECE_BINS
    )


def test_ours_tell_the_prompt_the_answers_and_the_rank():
    known = known_of_predictions(with_origin())
    assert (known.prompt, known.chat_template, known.max_length) == ("Q: {question}\nA:", False, 64)
    assert (known.head, known.answers, known.dtype) == ("answer", (" no", " yes"), "bfloat16")
    assert known.read_at == "the last token of the prompt"
    assert (known.adapters, known.lora_r, known.lora_alpha) == ("trained", 8, 16.0)
    assert (known.base, known.trained_on, known.modules) == (None, None, ())


@pytest.mark.parametrize(
    ("settings", "head", "read_at"),
    [
        (SETTINGS, "classification", "the last token of the prompt"),
        (SETTINGS | {"append_eos": True}, "classification", "the end-of-text token after the prompt"),
        (SETTINGS | {"chat_template": True}, "classification", "the last token before the reply of the chat"),
        ({}, None, None),
    ],
)
def test_where_the_answer_is_read(settings, head, read_at):
    known = known_of_predictions(with_origin(settings=settings))
    assert (known.head, known.read_at) == (head, read_at)


def test_the_base_alone_and_given_adapters_are_told_from_trained_ones():
    alone = known_of_predictions(with_origin(weights={}, scales={}, foreign=True))
    assert (alone.adapters, alone.lora_r) == ("none", None)
    assert known_of_predictions(with_origin(foreign=True)).adapters == "given"


def test_members_of_unlike_rank_have_none_in_common():
    scales = {"seed_42": SCALE, "seed_43": SCALE | {"r": 4}}
    known = known_of_predictions(with_origin(scales=scales))
    assert (known.lora_r, known.lora_alpha) == (None, 16.0)


def test_no_path_of_a_machine_is_told():
    assert known_of_predictions(with_origin(source="/home/somebody/rows.jsonl")).evaluated_on == "rows.jsonl"


def test_what_a_stranger_wrote_into_the_metadata_is_taken_only_where_it_is_of_the_kind():
    settings = {"prompt_template": ["x"], "max_length": "long", "use_bf16": 1, "answers": [1, 2]}
    known = known_of_predictions(with_origin(settings=settings, scales={"seed_42": {"r": "8", "lora_alpha": math.nan}}))
    assert (known.prompt, known.max_length, known.dtype, known.answers) == (None, None, None, ())
    assert (known.lora_r, known.lora_alpha) == (None, None)


def test_typed_values():
    assert typed(3, float) == 3.0
    assert typed(True, int) is typed("3", int) is typed(math.inf, float) is None
    assert typed_list([1, 2], int) == (1, 2)
    assert typed_list([1, None], int) == typed_list("ab", str) == ()


def test_what_records_say_alike():
    assert common({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}) == {"x": 1}
    assert common({}) == {}


def test_every_evaluated_set_has_its_protocol_and_the_calibration_rows():
    sets = {"validation": predicted(40), "other": predicted(30, seed=1)}
    calibration = replace(predicted(25, seed=2), ids=tuple(f"c{i}" for i in range(25)))
    with_split = evaluate_sets(sets, calibration=calibration, draws=0)
    assert {name: each.metrics.protocol.evaluated_rows for name, each in with_split.items()} == {
        "validation": 40,
        "other": 30,
    }
    assert with_split["validation"].metrics.protocol.calibration_rows == 25
    without = evaluate_sets(sets, draws=0)["validation"].metrics
    assert without.protocol.calibration_rows == 0
    assert "calibration none" in without.protocol_line
