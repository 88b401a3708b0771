import numpy as np
import pytest

from ensemble_uq_llm.evaluation.beside.after_temperature import FOLDS, after_folds, after_split, folds
from ensemble_uq_llm.evaluation.decisions.temperature import fit_temperatures
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from small_predictions import predicted, unlabelled


def test_after_a_split_it_is_what_evaluation_applies():
    split, test = unlabelled(predicted(n=80, seed=1, noise=3.0), first=20), predicted(n=50, noise=3.0)
    known_N = split.labelled_N
    applied = fit_temperatures(split.logits_MNC[:, known_N], split.labels_N[known_N], split.members)
    assert np.array_equal(after_split(test.logits_MNC, split, member=None), applied.apply(test.logits_MNC)["pooled"])
    alone_NC = log_softmax(log_softmax(test.logits_MNC[1]) / applied.per_member[1].value)
    assert after_split(test.logits_MNC, split, member=1) == pytest.approx(alone_NC, abs=1e-9)


def test_no_example_has_a_part_in_its_own_temperature():
    test = predicted(n=60, noise=3.0)
    fold_N = folds(60, seed=3)
    before_NC = after_folds(test.logits_MNC, test.labels_N, fold_N)
    for n in (0, 17):
        labels_N = test.labels_N.copy()
        labels_N[n] = 1 - labels_N[n]
        after_NC = after_folds(test.logits_MNC, labels_N, fold_N)
        same_N = (after_NC == before_NC).all(axis=1)
        assert same_N[fold_N == fold_N[n]].all()
        assert not same_N[fold_N != fold_N[n]].any()


def test_overconfident_logits_come_out_better():
    test = predicted(n=400, noise=0.0)
    after_NC = after_folds(5 * test.logits_MNC, test.labels_N, folds(400, seed=0))
    nll = [-each[np.arange(400), test.labels_N].mean() for each in (log_softmax(5 * test.logits_MNC[0]), after_NC)]
    assert nll[1] < 0.8 * nll[0]


def test_folds_are_of_one_size_drawn_and_none_of_few():
    assert np.bincount(folds(103, seed=0)).tolist() == [21, 21, 21, 20, 20]
    assert folds(103, seed=0).tolist() != sorted(folds(103, seed=0).tolist())
    assert np.array_equal(folds(103, seed=0), folds(103, seed=0))
    assert (folds(19, seed=0), FOLDS) == (None, 5)
