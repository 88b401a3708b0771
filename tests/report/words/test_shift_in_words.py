from dataclasses import replace

import pytest

from ensemble_uq_llm.report.words.shift_in_words import shift_in_words
from ensemble_uq_llm.statistics.intervals import Estimate
from small_metrics import shifted_metrics


def seen_as(seen, value=0.5, *, role="shifted", members=5):
    metrics = shifted_metrics("any", members=members)
    auroc = Estimate(value=value, ci95=(value - 0.02, value + 0.02))
    detection = replace(metrics.shift.detection, auroc=auroc, seen=seen)
    return replace(metrics, role=role, shift=replace(metrics.shift, detection=detection))


def test_one_set_that_is_noticed_has_its_interval():
    assert shift_in_words({"far": seen_as("less_sure", 0.93)}) == [
        "By its mutual information, it is less sure of the shifted set than of validation, AUROC 0.93 (far; 95% "
        "interval 0.91 to 0.95)."
    ]


def test_nothing_is_quoted_of_sets_that_cannot_be_told():
    assert shift_in_words({"a": seen_as("unclear", 0.55), "b": seen_as("unclear", 0.45)}) == [
        "By its mutual information, it tells none of 2 shifted sets from validation (a and b)."
    ]


def test_every_set_is_named_or_counted_once_and_those_it_is_surer_of_are_said():
    sets = {f"u{i}": seen_as("unclear") for i in range(6)}
    sets |= {"low": seen_as("surer", 0.38), "high": seen_as("less_sure", 0.9), "tiny": seen_as("too_few", 0.1)}

    assert shift_in_words(sets) == [
        "By its mutual information, it is less sure of 1 of 9 shifted sets than of validation, AUROC 0.90 (high; 95% "
        "interval 0.88 to 0.92); it is surer of 1 of 9, AUROC 0.38 (low; 95% interval 0.36 to 0.40); it does "
        "not tell 6 of 9 from validation (u0, u1, u2, u3 and 2 more); nothing is said of 1 of 9, with fewer than 20 "
        "examples there or in validation (tiny)."
    ]


def test_the_clearest_sets_are_named_and_the_others_counted():
    sets = {f"s{i}": seen_as("less_sure", 0.6 + i / 20) for i in range(6)}
    (words,) = shift_in_words(sets)

    assert words.index("s5") < words.index("s4") < words.index("s3") < words.index("s2")
    assert words.endswith("(s2; 0.68 to 0.72) and 2 more.")


@pytest.mark.parametrize("members", [1, 3])
def test_few_members_are_judged_by_their_entropy(members):
    (words,) = shift_in_words({"far": seen_as("less_sure", 0.9, members=members)})

    assert words.startswith("By its entropy, ")


def test_other_data_have_a_sentence_of_their_own():
    shifted, other = shift_in_words({"new": seen_as("surer", 0.3, role="other"), "far": seen_as("less_sure", 0.9)})

    assert "the shifted set than" in shifted
    assert "far" in shifted
    assert "it is surer of the other set than of validation" in other
    assert "shifted" not in other


def test_without_comparisons_nothing_is_said():
    assert shift_in_words({"far": replace(shifted_metrics("far"), role="other", shift=None)}) == []
