import numpy as np
import pytest

from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup
from ensemble_uq_llm.evaluation.decisions.abstention.kept import judge_certificate
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import LabelledScores
from ensemble_uq_llm.statistics.binomial import clopper_pearson


def certificate(**thresholds):
    groups = tuple(
        CertifiedGroup(group=None if name == "all" else name, threshold=threshold, rows=100, wrong=9)
        for name, threshold in thresholds.items()
    )
    by = "all" if "all" in thresholds else "group"
    return Certificate(target_risk=0.1, confidence=0.9, score="entropy", groups=groups, by=by)


def labelled(wrong, n=100, groups=None):
    scores_N = np.linspace(0, 1, n)
    return LabelledScores(scores={"entropy": scores_N}, wrong_N=np.arange(n) < wrong, groups_N=groups)


@pytest.mark.parametrize(("wrong", "verdict"), [(0, "kept"), (9, "kept"), (12, "missed"), (40, "missed")])
def test_fifty_answers_judge_the_promise(wrong, verdict):
    [kept] = judge_certificate(certificate(all=0.5), labelled(wrong))

    assert (kept.verdict, kept.rows, kept.answered, kept.wrong_answered) == (verdict, 100, 50, min(wrong, 50))
    assert kept.risk_ci95 == clopper_pearson(kept.wrong_answered, 50)


def test_few_answers_tell_nothing_and_no_threshold_is_not_judged():
    [kept] = judge_certificate(certificate(all=0.1), labelled(10))
    assert kept.verdict == "cannot be told"
    assert judge_certificate(certificate(all=None), labelled(10)) == ()


def test_groups_are_judged_each():
    groups = ("a", "b") * 50
    a, b = judge_certificate(certificate(a=0.9, b=0.5, c=None), labelled(90, groups=groups))

    assert (a.group, a.rows, a.answered, a.verdict) == ("a", 50, 45, "missed")
    assert (b.group, b.rows, b.answered) == ("b", 50, 25)
