from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.beside.compared_run import ComparedRun
from ensemble_uq_llm.evaluation.beside.many_runs import compare_many
from ensemble_uq_llm.evaluation.comparison import compare_predictions
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_sets
from ensemble_uq_llm.statistics.significance import holm
from small_compared import runs
from small_predictions import predicted, unlabelled

NAMES = ["accuracy", "nll", "nll_after_temperature", "brier", "ece", "aurc"]


@pytest.fixture(scope="module")
def four():
    return runs(0.5, 0.6, 3.0, 1.0, shifted=60, split=80)


@pytest.fixture(scope="module")
def table(four):
    return compare_many(four, draws=400, seed=5)


def test_a_run_shows_what_its_own_evaluation_shows(four, table):
    for run, beside in [(four[0], table.runs[0]), (four[2], table.runs[2])]:
        sets = {"own": run.predictions, **run.shifted}
        own = {name: each.metrics for name, each in evaluate_sets(sets, calibration=run.split, draws=50).items()}
        for name in ("accuracy", "nll", "brier", "ece"):
            assert beside.metrics[name].value == pytest.approx(own["own"].ensemble[name].value, abs=1e-12)
            assert beside.one_member[name] == pytest.approx(own["own"].members_mean[name].value, abs=1e-12)
        after = own["own"].temperature.pooled.after["nll"].value
        assert beside.metrics["nll_after_temperature"].value == pytest.approx(after, abs=1e-12)
        aurc = own["own"].selective["one_minus_confidence"].numbers["aurc"]
        assert beside.metrics["aurc"].value == pytest.approx(aurc.value, abs=1e-12)
        for score in ("entropy", "mutual_information"):
            auroc = own["far"].shift.numbers["auroc"][score].value
            assert beside.metrics[f"auroc.{score}.far"].value == pytest.approx(auroc, abs=1e-12)
        floor = own["own"].ensemble["ece"].noise_floor.mean
        assert beside.metrics["ece"].noise_floor.mean == pytest.approx(floor, rel=0.2)
    assert (table.n, table.classes, table.shifted, table.temperature) == (120, 2, {"far": 60}, "calibration split")
    assert table.warnings == ()


def test_differences_are_those_of_two_runs_compared(four, table):
    """From the same draws; but for the Holm adjustment, which is for the runs."""
    for run, beside in zip(four[1:], table.runs[1:], strict=True):
        pair = compare_predictions(four[0].predictions, run.predictions, draws=400, seed=5)
        for name in ("accuracy", "nll", "brier", "ece", "aurc"):
            ours, theirs = beside.differences[name], pair.metrics[name].difference
            assert (ours.value, *ours.ci95) == pytest.approx((theirs.value, *theirs.ci95), abs=1e-12)
            assert ours.p_value == theirs.p_value
    assert table.runs[0].differences == {}


def test_p_values_are_adjusted_for_the_runs_metric_by_metric(table):
    for name in [*NAMES, "auroc.entropy.far", "auroc.mutual_information.far"]:
        differences = [run.differences[name] for run in table.runs[1:]]
        assert [each.p_holm for each in differences] == holm([each.p_value for each in differences])


def test_a_claim_needs_the_adjusted_p_value_and_the_interval(table):
    _, near, far, _ = table.runs
    assert far.differences["nll"].is_better is False
    assert far.differences["nll"].p_holm < 0.05
    assert near.differences["nll"].is_better is None
    turned = compare_many(runs(3.0, 0.5, 0.6, 1.0), draws=400)
    assert turned.runs[1].differences["nll"].is_better is True
    assert turned.runs[1].differences["accuracy"].is_better is True


def test_a_run_beside_itself_differs_in_nothing(four):
    twin = replace(four[0], facts=replace(four[0].facts, name="twin"))
    beside = compare_many([four[0], twin], draws=100).runs[1]
    assert {(each.value, each.p_value, each.is_better) for each in beside.differences.values()} == {(0.0, 1.0, None)}


def test_temperatures_are_cross_fitted_for_all_where_one_has_no_split(four):
    bare = [four[0], replace(four[1], split=None)]
    compared = compare_many(bare, draws=100)
    without = compare_many([replace(four[0], split=None), bare[1]], draws=100)
    assert compared.temperature == "cross-fitted"
    assert compared.runs[0].metrics == without.runs[0].metrics
    assert compared.warnings == ("run 1: without a calibration split, so the temperatures of all are cross-fitted",)
    assert without.warnings == ()


def test_few_examples_have_no_temperature_and_no_p_value():
    compared = compare_many(runs(0.5, 3.0, n=12), draws=100)
    assert compared.temperature is None
    assert "nll_after_temperature" not in compared.runs[0].metrics
    assert {each.p_value for each in compared.runs[1].differences.values()} == {None}
    assert "of fewer than 20 examples none can be spared" in compared.warnings[0]


def test_one_member_has_no_mutual_information_and_no_mean():
    compared = compare_many([*runs(1.0, members=1, shifted=50), _named(runs(1.0, members=4, shifted=50)[0])], draws=100)
    alone, several = compared.runs
    assert alone.one_member == {}
    assert "auroc.mutual_information.far" not in alone.metrics
    assert "auroc.mutual_information.far" in several.metrics
    assert "auroc.mutual_information.far" not in several.differences
    assert set(several.one_member) == {*NAMES, "auroc.entropy.far"}
    assert "unequal cost at test time: 1 pass of run 0, against 4 passes of another" in compared.warnings[0]


def _named(run):
    return replace(run, facts=replace(run.facts, name="another"))


def test_one_member_is_the_mean_over_all():
    [run, other] = runs(1.5, 1.5, members=3)
    compared = compare_many([run, other], draws=0)
    alone = [
        evaluate(replace(run.predictions, members=run.predictions.members[m : m + 1],
                         logits_MNC=run.predictions.logits_MNC[m : m + 1]), draws=0).metrics
        for m in range(3)
    ]  # fmt: skip
    aurcs = [each.selective["one_minus_confidence"].numbers["aurc"].value for each in alone]
    assert compared.runs[0].one_member["aurc"] == pytest.approx(np.mean(aurcs))


def test_nothing_depends_on_the_order_of_examples(four, table):
    [turned, *others] = four
    back = slice(None, None, -1)
    own = turned.predictions
    predictions = replace(own, ids=own.ids[back], labels=own.labels[back], logits_MNC=own.logits_MNC[:, back])
    assert compare_many([replace(turned, predictions=predictions), *others], draws=400, seed=5).runs == table.runs


def test_few_draws_are_told():
    assert compare_many(runs(1.0, 1.0, 1.0), draws=60).warnings == (
        "60 draws tell no difference of 2 runs from chance after the adjustment; ask for --draws 81 or more",
    )
    assert compare_many(runs(0.1, 4.0, 4.0), draws=81).runs[1].differences["nll"].is_better is False


@pytest.mark.parametrize("count", [1, 21])
def test_two_runs_to_twenty(count):
    run = runs(1.0)[0]
    with pytest.raises(ConfigError, match=f"compare: {count} runs? given; name 2 to 20"):
        compare_many([run] * count)


def test_names_tell_runs_apart(four):
    with pytest.raises(ConfigError, match="'run 0', 'run 0': two have one name"):
        compare_many([four[0], four[0]])


def test_unlabelled_sets_are_refused():
    blind = [ComparedRun.of(name, unlabelled(predicted())) for name in "ab"]
    with pytest.raises(DataError, match="no example that all of 'a', 'b' have has a label"):
        compare_many(blind)


def test_it_shows_itself_in_a_line(table):
    assert repr(table) == "RunsBeside(n=120, 'run 0, run 1, run 2, run 3')"
