"""Training rows by the members that left them out, in place of a calibration split: what is promised is kept.

The worlds are small enough for learners to know their rows by heart: ridge regression in as many dimensions as rows.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.data.bags.bag_design import BagDesign
from ensemble_uq_llm.data.bags.drawn_bags import draw_bags
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted, fit_decisions
from ensemble_uq_llm.evaluation.evaluate import evaluate_sets
from ensemble_uq_llm.evaluation.measured import uncertainty_of
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.left_out.left_out_cells import filled
from ensemble_uq_llm.predictions.record import Predictions
from small_predictions import left_out_of, predicted

ROWS, FRESH, DIMENSIONS, MEMBERS, OUT = 120, 400, 60, 10, 3
LEVELS = (0.8, 0.9, 0.95)


def world(seed: int) -> tuple[Predictions, Predictions, Predictions]:
    """Members of bags: what they say of their training rows (honestly, and as if none had seen them), and of others."""
    rng = np.random.default_rng(seed)
    x_ND = rng.normal(size=(ROWS + FRESH, DIMENSIONS))
    truth_N = 1 / (1 + np.exp(-2 * x_ND @ rng.normal(size=DIMENSIONS) / np.sqrt(DIMENSIONS)))
    labels_N = (rng.random(len(truth_N)) < truth_N).astype(int)
    bags = draw_bags(BagDesign(seeds=tuple(range(MEMBERS)), out=OUT, seed=seed), ROWS)
    logits_MN = np.empty((MEMBERS, len(x_ND)))
    for member in range(MEMBERS):
        own, kept = bags.rows_of(member), rng.permutation(DIMENSIONS)[: 2 * DIMENSIONS // 3]
        x = x_ND[own][:, kept]
        weights = np.linalg.solve(x.T @ x + 0.5 * np.eye(len(kept)), x.T @ (2 * labels_N[own] - 1))
        logits_MN[member] = 2 * x_ND[:, kept] @ weights

    def of(rows: slice) -> Predictions:
        return Predictions(
            ids=tuple(f"q{n}" for n in range(len(x_ND)))[rows],
            labels=tuple(labels_N.tolist())[rows],
            members=trained(range(MEMBERS)),
            logits_MNC=np.stack([-logits_MN, logits_MN], axis=-1)[:, rows],
        )

    in_bag = of(slice(ROWS))
    honest = replace(in_bag, logits_MNC=filled(in_bag.logits_MNC, bags.left_out_MN), left_out_MN=bags.left_out_MN)
    return honest, in_bag, of(slice(ROWS, None))


def fitted(calibration: Predictions) -> Fitted:
    return fit_decisions(calibration, name="c", rng=np.random.default_rng(0), draws=0)


def coverages(calibration: Predictions, fresh: Predictions) -> dict[tuple[str, float], float]:
    """The share of fresh examples whose set holds the label, by method and level."""
    rules = fitted(calibration)
    sets_RNC = rules.apply(fresh, rng=np.random.default_rng(1)).sets_RNC
    rows = np.arange(len(fresh.ids))
    return {
        (rule.method, rule.level): float(sets_NC[rows, fresh.labels_N].mean())
        for rule, sets_NC in zip(rules.rules, sets_RNC, strict=True)
    }


def worlds(count: int) -> Iterator[tuple[Predictions, Predictions, Predictions]]:
    return (world(seed) for seed in range(count))


def test_sets_from_rows_out_of_bags_cover_what_they_promise_and_in_bag_rows_do_not(rounds, tally):
    count = rounds(60, 3000)
    honest, learned = [], []
    for out_of_bag, in_bag, fresh in worlds(count):
        honest.append(coverages(out_of_bag, fresh))
        learned.append(coverages(in_bag, fresh))
    found = {}
    for method, level in honest[0]:
        own = np.array([each[method, level] for each in honest])
        found[method, level] = own.mean()
        error = own.std(ddof=1) / np.sqrt(count)
        # More than is promised: three members pooled are less sure of the label than the ten of fresh rows.
        assert level - 3 * error < own.mean() < level + 0.12, (method, level)
    for level in LEVELS:  # the harness tells a promise that is broken
        assert np.mean([each["lac", level] for each in learned]) < level - 0.1
    tally(f"{count} of {count} worlds: " + ", ".join(f"{m} {level} {value:.3f}" for (m, level), value in found.items()))


def test_the_nll_of_rows_out_of_bags_is_that_of_fresh_ones_by_as_few_members(rounds, tally):
    """And above that of all members pooled, which is what makes the estimate a cautious one."""
    sums = np.zeros(4)
    count = rounds(60, 1000)
    for out_of_bag, in_bag, fresh in worlds(count):
        few = left_out_of(fresh, out=OUT)  # nobody was trained on these: only so many are pooled
        sums += [nll(each) for each in (out_of_bag, few, fresh, in_bag)]
    out, few, fresh, learned = (sums / count).tolist()
    assert out == pytest.approx(few, abs=0.03)
    assert learned + 0.1 < fresh < out
    tally(
        f"{count} of {count} worlds: out {out:.3f}, fresh by three {few:.3f}, by ten {fresh:.3f}, in bag {learned:.3f}"
    )


def nll(predictions: Predictions) -> float:
    log_probs_NC = uncertainty_of(predictions).log_probs_NC
    return float(-log_probs_NC[np.arange(len(predictions.ids)), predictions.labels_N].mean())


def test_only_members_that_left_a_row_out_count():
    bagged = left_out_of(predicted(30, members=5), out=2)
    found = uncertainty_of(bagged)
    for n in range(30):
        own = bagged.logits_MNC[bagged.left_out_MN[:, n], n : n + 1]
        alone = measure_uncertainty(own)
        for name in ("log_probs_NC", "mutual_information_N", "entropy_N", "disagreement_N", "variance_N"):
            assert getattr(found, name)[n] == pytest.approx(getattr(alone, name)[0], abs=1e-12), name


def test_where_rows_lack_some_members_each_row_has_its_own():
    bagged = left_out_of(predicted(30, members=5), out=2)
    left_out_MN = bagged.left_out_MN.copy()
    left_out_MN[0] = False
    left_out_MN[1, ~left_out_MN.any(axis=0)] = True
    found = uncertainty_of(replace(bagged, left_out_MN=left_out_MN))
    assert set(left_out_MN.sum(axis=0).tolist()) == {1, 2}
    for n in range(30):
        alone = measure_uncertainty(bagged.logits_MNC[left_out_MN[:, n], n : n + 1])
        assert found.entropy_N[n] == pytest.approx(alone.entropy_N[0], abs=1e-12)


def test_a_members_temperature_is_that_of_the_rows_that_it_left_out():
    bagged = left_out_of(predicted(300, members=5), out=2)
    temperatures = fitted(bagged).temperatures.per_member
    for m, each in enumerate(temperatures):
        rows = np.flatnonzero(bagged.left_out_MN[m])
        labels = tuple(bagged.labels[n] for n in rows.tolist())
        alone = Predictions(
            ids=tuple(map(str, rows)),
            labels=labels,
            members=trained([m]),
            logits_MNC=bagged.logits_MNC[m : m + 1, rows],
        )
        assert each.value == pytest.approx(fitted(alone).temperatures.per_member[0].value, rel=1e-9)


def test_the_order_of_rows_and_members_does_not_matter():
    bagged, test = left_out_of(predicted(80, members=4), out=1), predicted(50, members=4, seed=1)
    rows, members = np.random.default_rng(0).permutation(80), [2, 0, 3, 1]
    other = replace(
        bagged,
        ids=tuple(bagged.ids[n] for n in rows),
        labels=tuple(bagged.labels[n] for n in rows),
        members=tuple(bagged.members[m] for m in members),
        logits_MNC=bagged.logits_MNC[members][:, rows],
        left_out_MN=bagged.left_out_MN[members][:, rows],
    )
    first, second = (
        evaluate_sets({"validation": test}, calibration=each, draws=0)["validation"] for each in (bagged, other)
    )
    assert first.metrics.temperature == second.metrics.temperature
    assert first.metrics.conformal == second.metrics.conformal
    assert first.fitted.calibration.name == "out_of_bag"


def test_training_rows_are_not_evaluated():
    bagged = left_out_of(predicted(30, members=5), out=2)
    with pytest.raises(DataError, match=r"main: training rows, .*are there to calibrate on \(--calibration\)"):
        evaluate_sets({"main": bagged}, draws=0)
