from dataclasses import replace

from ensemble_uq_llm.evaluation.protocol.protocol_in_words import with_protocol
from ensemble_uq_llm.evaluation.records import Options
from ensemble_uq_llm.report.words.set_in_words import options_in_words, other_protocols
from small_metrics import main_metrics, shifted_metrics
from small_protocols import KNOWN

AVERAGES = {"average_options": 4.126, "average_normalised_entropy": 0.6125, "accuracy_of_guessing": 0.2431}


def test_options_and_guessing():
    metrics = main_metrics()
    assert options_in_words(metrics) == ""
    metrics.uncertainty.update(AVERAGES)
    assert options_in_words(replace(metrics, options=Options(fewest=3, most=5))) == (
        "4.13 options a question on average (3 to 5); guessing is right in 24.3%. The entropy is 61.3% of the most "
        "that the options allow, on average."
    )
    assert options_in_words(replace(metrics, options=Options(fewest=4, most=4))).startswith("4 options a question; ")


def test_other_sets_are_told_by_what_they_have_otherwise():
    main = with_protocol(main_metrics(), KNOWN)
    far = with_protocol(shifted_metrics("far"), replace(KNOWN, evaluated_on="far.jsonl", evaluated_rows=20))
    same = with_protocol(shifted_metrics("same"), KNOWN)
    [line] = other_protocols({"validation": main, "far": far, "same": same, "older": shifted_metrics("older")})
    assert line == "Protocol of far: the same, but evaluated 20 rows of far.jsonl (aaaabbbbcccc), 3 cut."
    assert other_protocols({"validation": main_metrics(), "far": far}) == []
