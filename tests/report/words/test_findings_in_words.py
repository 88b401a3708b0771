from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.records import Finding
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.report.words.findings_in_words import (
    classes_in_words,
    findings_in_words,
    other_findings_in_words,
    unnamed_classes,
)
from ensemble_uq_llm.statistics.intervals import Comparison
from small_metrics import main_metrics, shifted_metrics

NAMES = ["no", "yes"]
WORSE = Comparison(value=-0.1, ci95=(-0.15, -0.05), p_value=0.002)
HIGHER = Comparison(value=0.1, ci95=(0.05, 0.15), p_value=0.002)
UNCLEAR = Comparison(value=0.01, ci95=(-0.02, 0.04), p_value=0.6)


def words(*findings, metrics=None):
    return findings_in_words(replace(metrics or main_metrics(), findings=findings), NAMES)


def majority(difference):
    return Finding(
        kind="not_above_majority", n=60, metric="accuracy", value=0.55, other=0.54, difference=difference, label=1
    )


def prior(difference):
    return Finding(kind="not_below_prior", n=60, metric="nll", value=0.7, other=0.69, difference=difference, label=1)


def test_nothing_to_say_is_not_said():
    assert words() == []


def test_who_has_learned_nothing_hears_both_numbers():
    (said,) = words(majority(UNCLEAR), prior(UNCLEAR))

    assert said == (
        "Nothing shows that it has learned anything: on 60 examples its accuracy cannot be told from that of "
        "always answering 'yes', 55.0% against 54.0% (difference +1.00 points, 95% interval "
        "−2.00 to +4.00 points, p = 0.600), "  # noqa: RUF001
        "and its probabilities cannot be told to be better than the classes' frequencies, NLL 0.700 against 0.690 "
        "(difference +0.0100, 95% interval −0.0200 to +0.0400, p = 0.600)."  # noqa: RUF001
    )


def test_on_another_set_what_it_has_learned_may_be_of_no_use():
    (said,) = words(majority(WORSE), prior(HIGHER), metrics=shifted_metrics("far"))

    assert said.startswith("Nothing that it has learned shows here: on 60 examples its accuracy is below")


def test_too_few_examples_are_not_called_a_failure_to_learn():
    better = replace(UNCLEAR, value=-0.01, ci95=(-0.04, 0.02))
    (said,) = words(majority(UNCLEAR), prior(better))

    assert said.startswith("Whether it has learned anything cannot be told from 60 examples: its accuracy")


def test_worse_than_one_answer_for_all_is_called_that():
    (said,) = words(majority(WORSE), prior(HIGHER))

    assert "its accuracy is below that of always answering 'yes'" in said
    assert "its probabilities are worse than the classes' frequencies" in said


def test_probabilities_may_say_more_than_the_answers():
    metrics = main_metrics()
    metrics.constant_answers.metrics["nll"] = replace(metrics.constant_answers.metrics["nll"], gain=WORSE)
    (said,) = words(majority(UNCLEAR), metrics=metrics)

    assert said.startswith("Its answers are not shown to be worth more than one for all: its accuracy cannot be told")
    assert said.endswith("Its probabilities do say more than the classes' frequencies, so rank by them.")


@pytest.mark.parametrize(("difference", "remedy"), [(HIGHER, True), (UNCLEAR, False)])
def test_sure_mistakes_have_a_remedy(difference, remedy):
    (said,) = words(prior(difference))

    assert said.startswith("Its answers are right more often than one for all, but its probabilities ")
    assert ("a temperature may mend" in said) == remedy


def test_both_metrics_that_pooling_harms_are_one_sentence():
    harm = [
        Finding(kind="ensemble_hurts", n=60, metric=metric, value=0.5, other=0.6, difference=WORSE)
        for metric in ("accuracy", "auc")
    ]
    (said,) = words(*harm)

    assert said.startswith(
        "Pooling hurts: the ensemble is worse than its mean member, its accuracy 50.0% against 60.0% (difference "
    )
    assert "and its ROC AUC 0.500 against 0.600" in said
    assert said.index("Look at each member") > said.index("ROC AUC")


@pytest.mark.parametrize(
    ("count", "who"),
    [
        (1, "Seed 42 gives"),
        (2, "Seed 42 and seed 43 give"),
        (7, "Seed 42, seed 43, seed 44, seed 45, seed 46 and 2 more give"),
        (9, "Every member gives"),
    ],
)
def test_members_that_answer_alike_are_named(count, who):
    members = trained(range(42, 42 + count))
    (said,) = words(Finding(kind="constant_members", n=60, label=0, members=members), metrics=main_metrics(members=9))

    assert said == f"{who} one answer, 'no', to all 60 examples, whatever is asked."


def test_a_single_member_is_it():
    finding = Finding(kind="constant_members", n=60, label=0, members=trained([42]))

    assert words(finding, metrics=main_metrics(members=1))[0].startswith("It gives one answer")


def test_labels_of_one_class():
    assert words(Finding(kind="one_class", n=40, label=1))[0].startswith(
        "All 40 labels are 'yes': what needs two classes"
    )
    assert words(Finding(kind="one_class", n=1, label=1))[0].startswith("The only label is 'yes'")


def test_a_constant_ensemble():
    assert words(Finding(kind="constant_ensemble", n=60, label=1)) == [
        "The ensemble gives one answer, 'yes', to all 60 examples, whatever is asked."
    ]


def test_other_sets_are_named_before_what_they_say():
    surer = Finding(
        kind="worse_but_surer", n=60, metric="accuracy", value=0.5, other=0.6, difference=WORSE,
        scores=("one_minus_confidence", "mutual_information"),
    )  # fmt: skip
    strange = replace(shifted_metrics("strange"), findings=(surer, Finding(kind="constant_ensemble", n=60, label=0)))
    first, second = other_findings_in_words({"validation": main_metrics(), "strange": strange}, NAMES)

    assert first.startswith("Beware of strange: it is answered worse than validation, 50.0% against 60.0%")
    assert first.endswith("while by its confidence and mutual information the ensemble is surer of it.")
    assert second == "strange: The ensemble gives one answer, 'no', to all 60 examples, whatever is asked."


def test_classes_are_counted_one_by_one_or_by_their_range():
    few, alike = classes_in_words(main_metrics(classes=3))
    many, _ = classes_in_words(main_metrics(classes=77, n=160))

    assert few.startswith("Labels: 300 'class 0', 300 'class 1' and 300 'class 2'. Always answering 'class 0' would be")
    assert many.startswith("Labels: 77 classes of 2 to 3 examples. ")
    assert alike.startswith("With every class weighed alike: balanced accuracy ")
    assert classes_in_words(main_metrics(labelled=0)) == []


def test_unnamed_classes_go_by_their_index():
    assert unnamed_classes(main_metrics(classes=3)) == ("class 0", "class 1", "class 2")
    assert np.array_equal(findings_in_words(main_metrics()), [])
