from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.members.scatter import SCATTER_POINTS, uncertainty_scatter
from small_predictions import predicted, unlabelled


def pairs(group):
    return set(zip(group.entropy, group.mutual_information, strict=True))


def test_every_example_is_shown_where_they_are_few():
    measured = Measured.of(unlabelled(predicted(n=60), first=20))
    uncertainty = measured.uncertainty
    groups = {group.kind: group for group in uncertainty_scatter(measured).groups}

    wrong_N = measured.predictions.labelled_N & (uncertainty.prediction_N != measured.predictions.labels_N)
    expected = zip(uncertainty.entropy_N[wrong_N], uncertainty.mutual_information_N[wrong_N], strict=True)
    assert pairs(groups["wrong"]) == {(float(entropy), float(information)) for entropy, information in expected}
    assert sum(len(pairs(group)) for group in groups.values()) == sum(group.n for group in groups.values()) == 60
    assert groups["unlabelled"].n == 20


def test_of_many_examples_some_are_shown_and_each_kind_keeps_its_share():
    measured = Measured.of(predicted(n=5000))
    groups = uncertainty_scatter(measured).groups

    assert sum(len(group.entropy) for group in groups) == pytest.approx(SCATTER_POINTS, abs=2)
    assert sum(len(group.entropy) for group in groups) <= SCATTER_POINTS
    for group in groups:
        assert len(group.entropy) / SCATTER_POINTS == pytest.approx(group.n / 5000, abs=0.002)
    [right] = [group for group in groups if group.kind == "correct"]
    right_N = measured.uncertainty.prediction_N == measured.predictions.labels_N
    quartiles = np.percentile(measured.uncertainty.entropy_N[right_N], [25, 50, 75])
    assert np.percentile(right.entropy, [25, 50, 75]) == pytest.approx(quartiles, abs=0.02)


def test_a_kind_that_is_rare_is_not_forgotten():
    predictions = unlabelled(predicted(n=2000), first=1)
    kinds = {group.kind: group for group in uncertainty_scatter(Measured.of(predictions)).groups}

    assert len(kinds["unlabelled"].entropy) == 1


def test_which_examples_are_shown_does_not_depend_on_the_order_of_the_file():
    predictions = predicted(n=2000)
    order = np.random.default_rng(0).permutation(2000)
    shuffled = replace(
        predictions,
        ids=tuple(predictions.ids[i] for i in order),
        labels=tuple(predictions.labels[i] for i in order),
        logits_MNC=predictions.logits_MNC[:, order],
    )

    ours, theirs = (uncertainty_scatter(Measured.of(each)).groups for each in (shuffled, predictions))
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.kind, mine.n) == (other.kind, other.n)
        assert mine.entropy == pytest.approx(other.entropy, rel=1e-9)
        assert mine.mutual_information == pytest.approx(other.mutual_information, rel=1e-6)


def test_a_single_member_disagrees_with_nobody():
    assert uncertainty_scatter(Measured.of(predicted(members=1))) is None
