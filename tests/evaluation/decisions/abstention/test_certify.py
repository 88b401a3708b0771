import numpy as np
import pytest

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certify import certify, check_promise
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import largest_answered
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import LabelledScores


def rows(n=800, seed=0, groups=None):
    """A score that finds the errors, and one that says nothing."""
    rng = np.random.default_rng(seed)
    doubt_N = rng.random(n)
    names = None if groups is None else tuple(groups[i % len(groups)] for i in range(n))
    return LabelledScores(
        scores={"one_minus_confidence": rng.random(n), "entropy": doubt_N},
        wrong_N=rng.random(n) < 0.5 * doubt_N**4,
        by="all" if groups is None else "group",
        groups_N=names,
        column=None if groups is None else "country",
    )


def found(labelled, score, *, delta):
    return largest_answered(labelled.scores[score], labelled.wrong_N, target_risk=0.06, delta=delta)


def test_one_score_has_the_whole_error_probability():
    certificate = certify(rows(), target_risk=0.06, confidence=0.9, score="entropy")
    alone = found(rows(), "entropy", delta=1 - 0.9)

    [group] = certificate.groups
    assert (group.threshold, group.answered, group.wrong_answered) == (alone.threshold, alone.rows, alone.wrong)
    assert (group.rows, group.wrong) == (800, int(rows().wrong_N.sum()))
    assert (certificate.score, certificate.scores_tried, certificate.certified_risk) == ("entropy", 1, 0.06)


def test_any_score_shares_it_and_answers_most():
    certificate = certify(rows(), target_risk=0.06, confidence=0.9, score="any")

    assert (certificate.score, certificate.scores_tried) == ("entropy", 2)
    assert certificate.answered == found(rows(), "entropy", delta=(1 - 0.9) / 2).rows


def test_the_best_score_is_chosen_on_rows_that_do_not_certify_it():
    labelled = rows(2000)
    certificate = certify(labelled, target_risk=0.06, confidence=0.9, score="best", seed=3)

    assert (certificate.score, certificate.chosen_on, certificate.rows) == ("entropy", 1000, 1000)
    half = labelled.take(np.sort(np.random.default_rng(3).permutation(2000)[1000:]))
    assert certificate.groups == certify(half, target_risk=0.06, confidence=0.9, score="entropy").groups
    with pytest.raises(DataError, match="one half of the rows chooses the score, and there is 1 row; name a score"):
        certify(labelled.take(np.array([0])), target_risk=0.06, confidence=0.9, score="best")


def test_groups_share_the_error_probability_and_each_has_its_threshold():
    labelled = rows(1500, groups=("no", "se", "dk"))
    certificate = certify(labelled, target_risk=0.06, confidence=0.9, score="entropy")

    assert [each.group for each in certificate.groups] == ["dk", "no", "se"]
    assert (certificate.by, certificate.column, certificate.threshold) == ("group", "country", None)
    for each in certificate.groups:
        own = labelled.take(np.flatnonzero(np.array(labelled.groups_N) == each.group))
        assert each.answered == found(own, "entropy", delta=(1 - 0.9) / 3).rows


@pytest.mark.parametrize("score", ["entropyy", "ANY", ""])
def test_an_unknown_score_is_refused_with_those_that_there_are(score):
    known = "one_minus_confidence, entropy, any, best"
    with pytest.raises(ConfigError, match=f"--score '{score}': must be one of {known}"):
        certify(rows(), target_risk=0.06, confidence=0.9, score=score)


def test_all_that_cannot_be_promised_is_said_at_once():
    with pytest.raises(ConfigError, match=r"--target-risk 0: must be above 0 and below 1, .*\n--confidence 1: must be"):
        check_promise(0, 1)
    with pytest.raises(ConfigError, match="--target-risk nan: must be above 0 and below 1"):
        check_promise(float("nan"), 0.9)
