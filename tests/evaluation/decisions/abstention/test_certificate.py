import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup

SCORES = np.array([0.1, 0.2, 0.3, 0.2])


def group(name=None, threshold=0.2):
    return CertifiedGroup(group=name, threshold=threshold, rows=10, wrong=3, answered=6, wrong_answered=1)


def certificate(*groups, **options):
    return Certificate(target_risk=0.2, confidence=0.9, score="entropy", groups=groups, **options)


def test_a_threshold_answers_what_is_at_or_below_it():
    assert certificate(group()).answers(SCORES).tolist() == [True, True, False, True]
    nothing = certificate(CertifiedGroup(group=None, threshold=None, rows=10, wrong=3))
    assert not nothing.answers(SCORES).any()
    assert (nothing.certified_risk, nothing.threshold, nothing.coverage) == (None, None, 0.0)


def test_every_group_has_its_own_threshold_and_a_new_one_is_not_answered():
    apart = certificate(group("a", 0.1), group("b", 0.25), group("c", None), by="group", column="country")

    assert apart.answers(SCORES, ["a", "a", "b", "b"]).tolist() == [True, False, False, True]
    assert apart.answers(SCORES, ["c", "new", "new", "c"]).tolist() == [False] * 4
    with pytest.raises(DataError, match="a threshold for every country; say which one each example has"):
        apart.answers(SCORES)


def test_its_numbers_are_shares_of_the_calibration_rows():
    apart = certificate(group("a"), group("b"), by="class")

    assert (apart.coverage, apart.rows, apart.answered) == (0.6, 20, 12)
    assert (group().coverage, group().risk, group().plain_risk) == (0.6, 1 / 6, 0.3)
