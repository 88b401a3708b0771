"""What rounding must not decide: values on a grid against rational arithmetic, and the order of rows and members."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sklearn.metrics

from ensemble_uq_llm.evaluation.comparison import compare_predictions, comparison_json
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_sets
from ensemble_uq_llm.evaluation.files.metrics_json import as_json
from ensemble_uq_llm.predictions.record import Predictions

BINS = 15


def verbalised(seed, *, members=1, n=200):
    """Confidences in tenths, as a model says them, and labels: [M, N] and [N]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 11, (members, n)), rng.integers(0, 2, n)


def pooled(tenths_MN):
    return [Fraction(int(total), 10 * len(tenths_MN)) for total in tenths_MN.sum(axis=0)]


def exact_ece(forecasts, outcomes):
    gap_H = [Fraction(0)] * BINS
    for p, y in zip(forecasts, outcomes, strict=True):
        gap_H[min(BINS - 1, int(p * BINS))] += p - int(y)
    return sum(abs(gap) for gap in gap_H) / len(forecasts)


def exact_coverage(doubts, wrong, percent):
    kept = [sum(d <= threshold for d in doubts) for threshold in doubts]
    errors = [sum(w for d, w in zip(doubts, wrong, strict=True) if d <= threshold) for threshold in doubts]
    return max((k for k, e in zip(kept, errors, strict=True) if 100 * e <= percent * k), default=0) / len(doubts)


def exact_aurc(doubts, wrong):
    total, ahead, errors = Fraction(0), 0, 0
    for doubt in sorted(set(doubts)):
        group = [w for d, w in zip(doubts, wrong, strict=True) if d == doubt]
        share = Fraction(int(sum(group)), len(group))
        total += sum((errors + share * j) / (ahead + j) for j in range(1, len(group) + 1))
        ahead, errors = ahead + len(group), errors + int(sum(group))
    return total / len(doubts)


def as_probs(tenths_MN, form):
    """The same numbers as different systems compute them: all are k/10 on paper."""
    p_MN = {
        "divided": lambda: tenths_MN / 10,
        "multiplied": lambda: tenths_MN * 0.1,
        "complement": lambda: 1 - (10 - tenths_MN) / 10,
        "float32": lambda: tenths_MN / 10,
    }[form]()
    probs_MNC = np.stack([1 - p_MN, p_MN], axis=-1)
    return probs_MNC.astype(np.float32) if form == "float32" else probs_MNC


@pytest.mark.filterwarnings("ignore:.*probabilities are exactly 0")
@pytest.mark.parametrize("form", ["divided", "multiplied", "complement", "float32"])
@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_confidences_in_tenths_are_measured_as_rational_arithmetic_does(members, form):
    tenths_MN, labels_N = verbalised(members, members=members)
    forecasts = pooled(tenths_MN)
    metrics = evaluate(probs=as_probs(tenths_MN, form), labels=labels_N, draws=0).metrics
    predictions = [int(p > Fraction(1, 2)) for p in forecasts]  # at one half the lowest class
    doubts = [min(p, 1 - p) for p in forecasts]
    wrong = [int(a != b) for a, b in zip(predictions, labels_N.tolist(), strict=True)]
    near = {"abs": 1e-7 if form == "float32" else 1e-12}

    assert metrics.ensemble["accuracy"].value == pytest.approx(1 - np.mean(wrong), **near)
    assert metrics.ensemble["binary_ece"].value == pytest.approx(float(exact_ece(forecasts, labels_N)), **near)
    right = [1 - w for w in wrong]
    assert metrics.ensemble["ece"].value == pytest.approx(float(exact_ece([1 - d for d in doubts], right)), **near)
    ranked = [int(p * 10 * members) for p in forecasts]
    assert metrics.ensemble["auc"].value == pytest.approx(sklearn.metrics.roc_auc_score(labels_N, ranked))
    expected = sklearn.metrics.average_precision_score(labels_N, ranked)
    assert metrics.ensemble["average_precision"].value == pytest.approx(expected)
    for score in ("one_minus_confidence", "margin", "entropy"):
        numbers = metrics.selective[score].numbers
        assert numbers["coverage_at_risk_5"].value == exact_coverage(doubts, wrong, 5)
        assert numbers["aurc"].value == pytest.approx(float(exact_aurc(doubts, wrong)), abs=1e-12)
        whole = [int(d * 10 * members) for d in doubts]
        assert numbers["error_auroc"].value == pytest.approx(sklearn.metrics.roc_auc_score(wrong, whole))
    assert len(metrics.selective["one_minus_confidence"].curve.coverage) == len(set(doubts))


@pytest.mark.filterwarnings("ignore:.*probabilities are exactly 0")
def test_probabilities_come_back_as_they_were_given():
    probs_MNC = as_probs(verbalised(0, members=3)[0], "divided")

    logits_MNC = Predictions.from_arrays(probs=probs_MNC).logits_MNC
    assert logits_MNC.dtype == np.float64
    assert np.exp(logits_MNC) == pytest.approx(probs_MNC, rel=1e-14, abs=1e-37)


@pytest.mark.filterwarnings("ignore:.*probabilities are exactly 0")
@pytest.mark.parametrize("seed", range(4))
def test_one_member_of_the_size_curve_is_the_mean_of_the_members_also_where_all_ties(seed):
    tenths_MN, labels_N = verbalised(seed, members=3)
    metrics = evaluate(probs=as_probs(tenths_MN, "divided"), labels=labels_N, draws=0).metrics

    for name, mean in metrics.members_mean.items():
        curve = metrics.size_curve.metrics[name].mean
        assert curve[0] == pytest.approx(mean.value, abs=1e-12)
        assert curve[-1] == pytest.approx(metrics.ensemble[name].value, abs=1e-12)


def test_shift_is_ranked_over_both_sets_at_once():
    tenths_MN, labels_N = verbalised(3, n=120)
    tenths_MN = tenths_MN.clip(1, 9)
    near, far = (
        Predictions.from_arrays(probs=as_probs(tenths_MN[:, rows], form), labels=labels_N[rows])
        for rows, form in ((slice(0, 60), "divided"), (slice(60, 120), "complement"))
    )
    shift = evaluate_sets({"near": near, "far": far}, draws=0)["far"].metrics.shift

    doubt_N = np.minimum(tenths_MN[0], 10 - tenths_MN[0])
    expected = sklearn.metrics.roc_auc_score(np.arange(120) >= 60, doubt_N)
    for score in ("one_minus_confidence", "margin", "entropy"):
        assert shift.numbers["auroc"][score].value == pytest.approx(expected)


def leaves(value, path=()):
    """Every number and text of a JSON value by its path; what is said of members is found by its seed."""
    if isinstance(value, dict):
        return {key: leaf for name, each in value.items() for key, leaf in leaves(each, (*path, name)).items()}
    if isinstance(value, list):
        return {key: leaf for n, each in enumerate(value) for key, leaf in leaves(each, (*path, n)).items()}
    return {path: value}


def by_member(metrics):
    """The metrics JSON with members in the order of their seeds wherever they are listed, votes and pairs too."""
    content = as_json(metrics)
    order = sorted(range(metrics.members), key=lambda m: metrics.member_ids[m])
    for block in content.get("diversity", {}).values():
        block["matrix"] = [[block["matrix"][a][b] for b in order] for a in order]
        for end in ("min", "max"):
            if block.get(end):
                block[end]["members"].sort(key=lambda member: member["seed"])
    for each in (*content["examples"]["most_uncertain"], *content["examples"]["most_confidently_wrong"]):
        each["votes"].sort(key=lambda vote: vote["seed"] if "seed" in vote else vote["member"]["seed"])
    lists = [(content, "member_ids"), (content, "per_member")]
    lists += [(content["temperature"]["per_member"], "temperatures")] if "temperature" in content else []
    for owner, key in lists:
        owner[key] = [owner[key][m] for m in order]
    return leaves(content)


def shuffled(predictions, rng):
    rows, members = rng.permutation(len(predictions.ids)), rng.permutation(len(predictions.members))
    return replace(
        predictions,
        ids=tuple(predictions.ids[n] for n in rows),
        labels=tuple(predictions.labels[n] for n in rows),
        members=tuple(predictions.members[m] for m in members),
        logits_MNC=predictions.logits_MNC[np.ix_(members, rows)],
    )


def drawn(seed, *, n, on_grid):
    rng = np.random.default_rng(seed)
    tenths_MN = rng.integers(1, 10, (7, n))
    labels_N = np.where(rng.random(n) < 0.1, -1, rng.integers(0, 2, n))
    if on_grid:
        return Predictions.from_arrays(probs=as_probs(tenths_MN, "divided"), labels=labels_N)
    return Predictions.from_arrays(logits=rng.normal(size=(7, n, 2)) + tenths_MN[..., None] / 10, labels=labels_N)


@pytest.mark.parametrize(("seed", "on_grid"), [(0, True), (1, True), (2, False)])
def test_no_number_of_the_metrics_depends_on_the_order_of_rows_or_members(seed, on_grid):
    rng = np.random.default_rng(seed)
    sets = {"near": drawn(seed, n=60, on_grid=on_grid), "far": drawn(seed + 1, n=40, on_grid=on_grid)}
    held_out = drawn(seed + 2, n=80, on_grid=on_grid)
    ours = evaluate_sets(sets, calibration=held_out, draws=20)
    theirs = evaluate_sets(
        {name: shuffled(each, rng) for name, each in sets.items()}, calibration=shuffled(held_out, rng), draws=20
    )

    expected, found = (by_member(each["near"].metrics) for each in (ours, theirs))
    assert same(found, expected)
    expected, found = (leaves(as_json(each["far"].metrics)["shift"]) for each in (ours, theirs))
    assert same(found, expected)


def same(found, expected):
    assert set(found) == set(expected)
    for path, value in expected.items():
        if isinstance(value, float):
            assert found[path] == pytest.approx(value, rel=1e-9, abs=1e-9), path
        else:
            assert found[path] == value, path
    return True


@pytest.mark.parametrize("seed", range(3))
def test_nameless_arrays_in_another_order_are_measured_alike(seed):
    rng = np.random.default_rng(seed)
    predictions = drawn(seed, n=50, on_grid=True)
    order_N = rng.permutation(50)
    ours = evaluate(logits=predictions.logits_MNC, labels=predictions.labels_N, draws=20).metrics
    theirs = evaluate(
        logits=predictions.logits_MNC[::-1, order_N], labels=predictions.labels_N[order_N], draws=20
    ).metrics

    for block in ("ensemble", "members_mean", "reliability", "selective", "best_score", "size_curve", "uncertainty"):
        assert same(leaves(as_json(theirs)[block]), leaves(as_json(ours)[block]))


@pytest.mark.parametrize("seed", range(3))
def test_no_number_of_a_comparison_depends_on_the_order_of_rows_or_members(seed):
    rng = np.random.default_rng(seed)
    a, b = drawn(seed, n=50, on_grid=True), drawn(seed + 1, n=50, on_grid=False)
    ours = compare_predictions(a, b, draws=20)
    theirs = compare_predictions(shuffled(a, rng), shuffled(b, rng), draws=20)

    ours, theirs = ({**comparison_json(each), "warnings": None} for each in (ours, theirs))
    assert same(leaves(theirs), leaves(ours))
