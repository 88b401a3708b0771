from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.beside.many_runs import compare_many
from small_compared import runs


def test_a_set_that_a_run_lacks_is_told_and_left_out_of_it():
    first, second, third = runs(1.0, 1.0, 1.0, shifted=40)
    table = compare_many([first, replace(second, shifted={}), third], draws=50)
    assert "set 'far' has not been predicted by run 1" in table.warnings
    assert "auroc.entropy.far" not in table.runs[1].metrics
    assert "auroc.entropy.far" in table.runs[2].differences


def test_without_the_baseline_there_is_no_difference():
    first, second = runs(1.0, 1.0, shifted=40)
    table = compare_many([replace(first, shifted={}), second], draws=50)
    assert "auroc.entropy.far" in table.runs[1].metrics
    assert "auroc.entropy.far" not in table.runs[1].differences


def test_examples_that_only_some_runs_predicted_are_left_out():
    first, second = runs(1.0, 1.0, shifted=40)
    far = second.shifted["far"]
    fewer = replace(far, ids=far.ids[:30], labels=far.labels[:30], logits_MNC=far.logits_MNC[:, :30])
    table = compare_many([first, replace(second, shifted={"far": fewer})], draws=50)
    assert table.shifted == {"far": 30}
    assert "set 'far': the sets differ: measured on the 30 examples that all runs have (run 0 has 40)" in table.warnings


def test_sets_of_another_task_are_refused():
    first, second = runs(1.0, 1.0, shifted=40)
    far = second.shifted["far"]
    other = replace(far, logits_MNC=np.concatenate([far.logits_MNC, far.logits_MNC[..., :1]], axis=2))
    with pytest.raises(DataError, match="set 'far': run 0 has 2 classes and run 1 has 3"):
        compare_many([first, replace(second, shifted={"far": other})], draws=50)


def test_other_data_that_make_the_members_disagree_are_told_and_the_better_run_is_found():
    """Members that agree on the usual questions alone know the others by it; of a run of equal members nobody does."""
    base, told = runs(1.0, 0.05, n=200, shifted=200)
    rng = np.random.default_rng(0)
    far = told.shifted["far"]
    loud = replace(far, logits_MNC=far.logits_MNC + 3 * rng.normal(size=far.logits_MNC.shape))
    mutual = compare_many([base, replace(told, shifted={"far": loud})], draws=200).runs[1]
    assert mutual.metrics["auroc.mutual_information.far"].value > 0.95
    assert mutual.differences["auroc.mutual_information.far"].is_better is True
