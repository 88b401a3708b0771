import numpy as np

from ensemble_uq_llm.evaluation.beside.holm_by_metric import adjusted_by_metric
from ensemble_uq_llm.evaluation.beside.many_runs import MOST_RUNS
from ensemble_uq_llm.evaluation.beside.quantities import quality_of
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.statistics.bootstrap import compare, resample_together
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.significance import holm
from small_compared import runs


def difference(value, p_value, *, ends=0.1):
    return Comparison(value=value, ci95=(value - ends, value + ends), p_value=p_value)


def test_each_metric_is_adjusted_by_itself_for_its_runs():
    changes = {
        "b": {"nll": difference(-0.3, 0.01), "accuracy": difference(0.2, 0.03)},
        "c": {"nll": difference(0.3, 0.02), "accuracy": Comparison(value=0.1, ci95=None, p_value=None)},
        "d": {"nll": difference(0.3, 0.4)},
    }
    found = adjusted_by_metric(changes, [])
    assert [found[run]["nll"].p_holm for run in "bcd"] == holm([0.01, 0.02, 0.4])
    assert [found[run]["nll"].is_better for run in "bcd"] == [True, False, None]
    assert [found[run]["accuracy"].p_holm for run in "bc"] == [0.03, None]
    assert [found[run]["accuracy"].is_better for run in "bc"] == [True, None]


def test_an_interval_around_nothing_claims_nothing():
    found = adjusted_by_metric({"b": {"auroc.entropy.far": difference(0.05, 0.001)}}, ["far"])
    assert found["b"]["auroc.entropy.far"].is_better is None


def claims(worlds, *, noises):
    """In how many worlds NLL or accuracy tells any run from the first, by the adjusted and by the plain p-values."""
    claimed, plain = {"nll": 0, "accuracy": 0}, {"nll": 0, "accuracy": 0}
    for seed in range(worlds):
        read = [each.predictions for each in runs(*noises, n=120, members=2, seed=seed)]
        labels_N = read[0].labels_N
        families = {
            f"run {at}": quality_of(measure_uncertainty(each.logits_MNC), labels_N, None)
            for at, each in enumerate(read)
        }
        drawn = resample_together(families, sizes=[len(labels_N)], draws=800, seed=seed)
        first = drawn.pop("run 0")
        changes = {
            run: {
                name: compare(
                    *(each.values[name], each.draws_D[name], first.values[name], first.draws_D[name]), examples=120
                )
                for name in claimed
            }
            for run, each in drawn.items()
        }
        for name in claimed:
            of_runs = [each[name] for each in adjusted_by_metric(changes, []).values()]
            claimed[name] += any(each.is_better is not None for each in of_runs)
            plain[name] += any(each.p_value < 0.05 for each in of_runs)
    return claimed, plain


def test_equal_runs_are_seldom_told_apart(rounds, tally):
    """Twenty runs of one distribution: of one metric, anything is claimed in at most one case of twenty."""
    worlds = rounds(16, 600)
    claimed, plain = claims(worlds, noises=[1.0] * MOST_RUNS)
    tally(f"{claimed} of {worlds:,} sets of twenty equal runs were told apart, {plain} without adjustment")
    most = worlds * 0.05 + 2.5 * np.sqrt(worlds * 0.05 * 0.95)
    assert max(claimed.values()) <= most
    assert min(plain.values()) > most, "without the adjustment claims are common, and the harness sees them"


def test_a_worse_run_among_twenty_is_found():
    claimed, _ = claims(3, noises=[*[1.0] * (MOST_RUNS - 1), 15.0])
    assert claimed["nll"] == 3
