import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign_values import class_of, log_probabilities, refuse_misspelt

FILE = Path("their.csv")


def logits(probs, names=("prob_0", "prob_1")):
    values = np.array(probs, dtype=np.float64)
    return log_probabilities(values, source=FILE, place=lambda row: f"line {row + 2}", names=names)


def softmax(logits_PC):
    exp_PC = np.exp(logits_PC.astype(np.float64))
    return exp_PC / exp_PC.sum(axis=1, keepdims=True)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(2, 6)), elements=st.floats(1e-30, 1)))
def test_the_softmax_of_the_logits_is_the_probabilities(weights_PC):
    probs_PC = weights_PC / weights_PC.sum(axis=1, keepdims=True)
    logits_PC = logits(probs_PC, names=["x"] * probs_PC.shape[1])

    assert logits_PC.dtype == np.float64
    # A logit of at most 70 is off by at most 2^-47, and its exponential by the same share.
    assert np.allclose(softmax(logits_PC), probs_PC, rtol=2**-45, atol=0)


def test_rounded_probabilities_are_divided_by_their_sum():
    rounded = np.float16([[0.1, 0.2, 0.7], [0.3333, 0.3333, 0.3333]]).astype(np.float64)
    assert (rounded.sum(axis=1) != 1).all()

    sums = np.exp(logits(rounded, names="abc").astype(np.float64)).sum(axis=1)
    assert np.allclose(sums, 1, rtol=0, atol=1e-6)


def test_one_column_is_class_1_of_two():
    assert np.array_equal(logits([0.25, 0.5], names=["p"]), logits([[0.75, 0.25], [0.5, 0.5]]))


def test_zeros_become_the_smallest_number_with_one_warning():
    smallest = float(np.finfo(np.float32).tiny)
    message = r"^their\.csv: 2 of 6 probabilities are exactly 0 and count as 1\.2e-38; the NLL depends on that number"
    with pytest.warns(UserWarning, match=message) as caught:
        logits_PC = logits([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])

    [warning] = caught
    assert str(warning.message).startswith(
        "their.csv: 2 of 6 probabilities are exactly 0 and count as 1.2e-38; the NLL"
    )
    assert np.exp(logits_PC[0, 0].astype(np.float64)) == pytest.approx(smallest, rel=1e-5)
    assert np.isfinite(logits_PC).all()
    with pytest.warns(UserWarning, match=r"1 of 4 probabilities are exactly 0"):
        assert np.array_equal(logits([1.0, 0.5], names=["p"])[0], logits_PC[0])


def test_nothing_is_said_without_zeros():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert logits([[1e-300, 1.0]])[0, 0] == pytest.approx(np.log(1e-300), rel=1e-6)


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        ([[0.5, 0.5], [0.5, np.nan]], "line 3: prob_1 is nan; a probability is a number from 0 to 1"),
        ([[np.inf, 0.5], [0.5, 0.5]], "line 2: prob_0 is inf; a probability"),
        ([[-0.1, 1.1], [2.0, 0.5], [0.5, 7]], "line 2: prob_0 is -0.1 (2 more rows have such a fault); a probability"),
        ([[0.5, 0.5], [0.5, 0.6]], "line 3: prob_0 to prob_1 sum to 1.1; the probabilities of a row must sum to 1"),
        ([[0.5, 0.4], [0.5, 0.6]], "line 2: prob_0 to prob_1 sum to 0.9 (1 more row has such a fault); the prob"),
        ([[0.5, 0.5041]], "line 2: prob_0 to prob_1 sum to 1.0041;"),
        ([[0.0, 0.0]], "line 2: prob_0 to prob_1 sum to 0;"),
    ],
)
def test_what_are_no_probabilities(probs, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        logits(probs)


@pytest.mark.parametrize("value", [-0.2, 1.2, np.nan])
def test_one_column_that_is_no_probability(value):
    with pytest.raises(DataError, match=rf"^line 3: p_yes is {value}; a probability is a number from 0 to 1"):
        logits([0.5, value], names=["p_yes"])


@pytest.mark.parametrize(
    ("value", "classes", "label"),
    [
        ("1", 2, 1), (" 2.0 ", 3, 2), (0, 2, 0), (1.0, 2, 1), ("", 2, None), (None, 2, None), ("nan", 2, None),
        (float("nan"), 2, None), ("TRUE", 2, 1), ("false", 2, 0), (True, 2, 1), (False, 2, 0),
    ],
)  # fmt: skip
def test_labels(value, classes, label):
    assert class_of(value, classes=classes) == label
    assert type(class_of(value, classes=classes)) is type(label)


@pytest.mark.parametrize(
    ("value", "classes"), [("2", 2), ("-1", 2), ("0.5", 2), ("yes", 2), ("true", 3), ("inf", 3), (1e30, 3)]
)
def test_what_is_no_label(value, classes):
    with pytest.raises(ValueError, match=re.escape(str(value).removeprefix("-"))):
        class_of(value, classes=classes)


def test_names_that_are_nearly_ours():
    refuse_misspelt(["note", "label", "labels"], ["id", "label"])
    with pytest.raises(DataError, match=r"'labels' is not a name that is read; did you mean 'label'\? Rename it"):
        refuse_misspelt(["note", "labels"], ["id", "label"])
