import numpy as np
import pytest

from ensemble_uq_llm.labels.lacking_options import LACKING, lacks, masked, options_of, with_lacking


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_masked_logits_keep_their_kind_and_what_the_row_has(kind):
    logits = np.arange(10, dtype=kind).reshape(1, 2, 5)
    ours = masked(logits, np.array([3, 5]))
    assert ours.dtype == kind
    assert options_of(ours).tolist() == [[3, 5]]
    assert (ours[:, 0, :3] == logits[:, 0, :3]).all()
    assert (ours[:, 1] == logits[:, 1]).all()
    assert masked(logits, None) is logits


@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
def test_a_lacking_class_is_known_and_has_no_probability_at_any_temperature(temperature):
    logits = np.array([3.0, LACKING]) / temperature
    assert lacks(logits).tolist() == [False, True]
    assert np.exp(logits - logits.max()).tolist() == [1.0, 0.0]
    assert np.isfinite(logits).all()


def test_what_is_no_number_is_lacking_where_two_are_left():
    nan, inf = np.nan, np.inf
    rows = np.array([[1.0, nan, 2.0], [1.0, -inf, 2.0], [1.0, 2.0, -1e38], [nan, nan, 1.0], [1.0, 2.0, inf]])
    assert lacks(with_lacking(rows)).sum(axis=1).tolist() == [1, 1, 1, 0, 0]
    assert np.isnan(with_lacking(rows)[3, :2]).all()  # a member that diverged, for others to refuse
