from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats

from ensemble_uq_llm.evaluation.decisions.conformal import METHODS, fit_rules, include, measure
from ensemble_uq_llm.evaluation.decisions.promise import judge, judge_risk, overall, threshold_rank
from ensemble_uq_llm.evaluation.records import Promise


def world(n, classes, rng, *, sharpness=1.0, digits=None):
    """Probabilities, and labels drawn from them, or from what is flatter than they claim; few digits make them tie."""
    probs_NC = rng.dirichlet(np.full(classes, 0.7), size=n)
    labels_N = (sharpness * np.log(probs_NC) + rng.gumbel(size=(n, classes))).argmax(axis=1)
    return (probs_NC if digits is None else probs_NC.round(digits)), labels_N


def verdicts(calibrated, tested, classes, *, repetitions, level=0.9, **options):
    """How often each method's rule is judged how, options being the test set's world."""
    counts = {method: Counter() for method in METHODS}
    digits = options.get("digits")
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        rules = fit_rules(*world(calibrated, classes, rng, digits=digits), rng=rng, levels=[level])
        probs_NC, labels_N = world(tested, classes, rng, **options)
        measured = measure(rules, include(rules, probs_NC, rng=rng), labels_N, draws=0)
        for method, levels in measured.items():
            counts[method][levels[f"{level:.2f}"].promise.verdict] += 1
    return counts


@pytest.mark.parametrize(
    ("calibrated", "tested", "classes"), [(100, 200, 2), (100, 3270, 4), (500, 200, 4), (2000, 3270, 2)]
)
def test_correct_rules_are_rarely_blamed(calibrated, tested, classes):
    """At most 5%, of which 60 repetitions show more than 8 in one case of a thousand."""
    for method, counts in verdicts(calibrated, tested, classes, repetitions=60).items():
        assert counts["missed"] + counts["exceeded"] <= scipy.stats.binom.ppf(0.999, 60, 0.05), (method, counts)
        assert not counts["cannot be told"]


@pytest.mark.parametrize("classes", [2, 4])
def test_a_promise_that_does_not_hold_is_found_missed(classes):
    for method, counts in verdicts(500, 1000, classes, repetitions=20, sharpness=0.4).items():
        assert counts["missed"] >= 19, (method, counts)


def test_larger_sets_because_scores_tie_are_no_fault():
    counts = verdicts(300, 2000, 3, repetitions=20, digits=1)
    for method in ("lac", "class_conditional"):
        assert counts[method] == {"kept": 20}


@pytest.mark.parametrize(("calibrated", "tested", "level"), [(100, 200, 0.9), (57, 3270, 0.8), (2000, 500, 0.95)])
def test_the_usual_range_is_that_of_the_beta_binomial(calibrated, tested, level):
    rank = threshold_rank(calibrated, level)
    number = scipy.stats.betabinom(tested, rank, calibrated + 1 - rank)
    low, high = (int(each) for each in number.ppf([0.025, 0.975]))

    def judged(covered, **options):
        return judge(covered, tested, **{"level": level, "calibrated": calibrated, "tied": False} | options)

    assert judged(low) == Promise(verdict="kept", expected95=(low / tested, high / tested))
    assert (judged(low - 1).verdict, judged(high).verdict, judged(high + 1).verdict) == ("missed", "kept", "exceeded")
    assert judged(tested, tied=True).verdict == "kept"
    assert judged(low - 1, judgements=10).verdict == "kept"


def test_the_rank_is_that_of_whole_numbers():
    for n in range(1, 300):
        for level in ("0.8", "0.9", "0.95"):
            assert threshold_rank(n, float(level)) == -(-(n + 1) * Fraction(level) // 1)


@pytest.mark.parametrize(
    ("tested", "calibrated", "verdict"),
    [
        (0, 100, "cannot be told"),
        (19, 100, "cannot be told"),
        (20, 100, "missed"),
        (500, 4, "missed"),
        (500, 3, "kept"),  # too few for the level: every set holds every class
    ],
)
def test_what_few_examples_can_tell(tested, calibrated, verdict):
    assert judge(0, tested, level=0.8, calibrated=calibrated, tied=False).verdict == verdict


def test_where_no_result_would_be_rare_it_cannot_be_told():
    """A threshold from one example: any coverage is as likely as any other, and a hundred classes are judged."""
    of_many = judge(0, 500, level=0.5, calibrated=1, tied=False, judgements=100)
    assert (of_many.verdict, of_many.expected95) == ("cannot be told", (0.0, 1.0))


def test_a_rule_for_every_class_is_as_good_as_its_worst():
    def whole(*each):
        return overall([Promise(verdict=verdict, expected95=None) for verdict in each]).verdict

    assert whole("kept", "missed", "exceeded") == "missed"
    assert whole("kept", "exceeded", "cannot be told") == "exceeded"
    assert whole("cannot be told", "kept") == "kept"
    assert whole("cannot be told", "cannot be told") == "cannot be told"


def test_classes_are_judged_each():
    """A class whose every test example is unlike those that its threshold is from."""
    rng = np.random.default_rng(0)
    rules = fit_rules(*world(600, 3, rng), rng=rng, levels=[0.9])
    probs_NC, labels_N = world(900, 3, rng)
    probs_NC = np.where((labels_N == 1)[:, None], [0.6, 0.01, 0.39], probs_NC)
    result = measure(rules, include(rules, probs_NC, rng=rng), labels_N, draws=0)["class_conditional"]["0.90"]

    assert [each.promise.verdict for each in result.by_class] == ["kept", "missed", "kept"]
    assert result.promise == Promise(verdict="missed", expected95=None)
    assert {each.promise for each in result.by_size} == {None}


@pytest.mark.parametrize(("answered", "target"), [(20, 0.1), (200, 0.05), (3270, 0.2)])
def test_a_risk_is_missed_where_the_binomial_says_that_it_is_rare(answered, target):
    most = int(scipy.stats.binom.isf(0.025, answered, target))  # more are rarer than one in forty

    assert judge_risk(most, answered, target_risk=target) == "kept"
    assert judge_risk(most + 1, answered, target_risk=target) == "missed"
    assert judge_risk(most + 1, answered, target_risk=target, judgements=20) == "kept"
    assert judge_risk(19, 19, target_risk=target) == "cannot be told"
