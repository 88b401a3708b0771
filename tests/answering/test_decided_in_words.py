from dataclasses import replace

from ensemble_uq_llm.answering.decided_in_words import as_json_object, in_words
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup, KeptPromise
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import EVERY_ROW
from ensemble_uq_llm.evaluation.decisions.abstention.power import PowerCurve, PowerPoint
from ensemble_uq_llm.evaluation.files.decide_files import Decided


def certificate(threshold, **options):
    answered = {} if threshold is None else {"answered": 700, "wrong_answered": 21}
    group = CertifiedGroup(group=None, threshold=threshold, rows=1000, wrong=80, **answered)
    return Certificate(target_risk=0.05, confidence=0.9, score="entropy", groups=(group,), **options)


def kept(verdict):
    return KeptPromise(group=None, verdict=verdict, rows=500, answered=340, wrong_answered=12, risk_ci95=(0.018, 0.061))


def test_the_price_in_whole_questions():
    lines = list(in_words(Decided(certificate=certificate(0.25))))

    assert lines[0] == (
        "Answer where entropy is at most 0.25: then at most a share of 0.05 of the answers is wrong, with a confidence "
        "of 0.9."
    )
    assert lines[2] == (
        "  Of 1,000 questions about 700 are answered, about 21 of them wrongly (3.0% of the answers); answering all "
        "would give about 80 wrong answers (8.0%)."
    )
    assert next(in_words(Decided(certificate=certificate(EVERY_ROW)))).startswith("Answer always: then at most")


def test_numbers_are_told_as_they_were_asked_for():
    asked = replace(certificate(0.25), target_risk=0.0000001, confidence=0.999999)
    line = next(in_words(Decided(certificate=asked)))
    assert "at most a share of 1e-07 of the answers is wrong, with a confidence of 0.999999." in line


def test_where_no_score_does_none_of_them_is_named():
    lines = list(in_words(Decided(certificate=certificate(None, scores_tried=9))))
    assert "no threshold on any of 9 scores is shown" in lines[0]
    assert not any("answers most" in line for line in lines)
    assert any("9 scores share" in line for line in in_words(Decided(certificate=certificate(0.25, scores_tried=9))))


def test_every_verdict_has_its_words():
    said = {
        verdict: list(in_words(Decided(certificate=certificate(0.25), kept=(kept(verdict),))))[-1]
        for verdict in ("kept", "missed", "cannot be told")
    }
    assert all("12 of 340 answers wrong, 500 rows (95% interval 1.8% to 6.1%)" in each for each in said.values())
    assert said["kept"].endswith("nothing there speaks against the promise.")
    assert "at most 0.1 of them are" in said["missed"]
    assert said["cannot be told"].endswith("too few answers to tell.")


def test_more_rows_are_an_estimate_and_twice_as_many_where_half_of_them_choose():
    power = PowerCurve(fewest=45, points=(PowerPoint(rows=300, certified=0.85, coverage=0.4),))
    [_, *lines] = in_words(Decided(certificate=certificate(None), power=power))
    assert "about 300 calibration rows would do in 80% of cases, and answer about 40% (an estimate" in lines[0]
    assert as_json_object(Decided(certificate=certificate(None), power=power))["rows_estimated"] == 300
    halved = Decided(certificate=certificate(None, chosen_on=1000), power=power)
    assert as_json_object(halved)["rows_estimated"] == 600
    hopeless = Decided(certificate=certificate(None), power=PowerCurve(fewest=45, points=()))
    assert "no number of rows is likely to do" in list(in_words(hopeless))[-1]
    assert as_json_object(hopeless)["rows_estimated"] is None
