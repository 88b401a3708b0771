"""Rows that lack classes, beside a loop over rows that knows only the classes that each has."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.classes.constant_answers import constant_family
from ensemble_uq_llm.evaluation.classes.constant_weights import fitting_weights
from ensemble_uq_llm.evaluation.decisions.conformal import fit_rules, include
from ensemble_uq_llm.evaluation.decisions.temperature import fit_temperature, fit_temperatures
from ensemble_uq_llm.evaluation.evaluate import evaluate_sets
from ensemble_uq_llm.evaluation.quality.metrics import METRICS, metrics_for, quality_family
from ensemble_uq_llm.evaluation.quality.noise_floor import noise_floor
from ensemble_uq_llm.evaluation.quality.residual_sums import BRIER_RELIABILITY, CLASSWISE_ECE
from ensemble_uq_llm.evaluation.uncertainty import log_softmax, measure_uncertainty
from ensemble_uq_llm.labels.lacking_options import lacks, masked
from ensemble_uq_llm.predictions.record import Predictions

CLASSES = 5
RNG = np.random.default_rng(5)
OPTIONS_N = RNG.choice([3, 4, 5], p=[0.2, 0.5, 0.3], size=300)
RAW_MNC = 2 * RNG.standard_normal((4, 300, CLASSES)) + RNG.standard_normal((300, CLASSES))
LABELS_N = (RNG.random(300) * OPTIONS_N).astype(int)
LOGITS_MNC = masked(RAW_MNC, OPTIONS_N)
WEIGHTS_DN = np.stack([np.ones(300), np.bincount(RNG.integers(300, size=300), minlength=300), RNG.random(300)])
UNCERTAINTY = measure_uncertainty(LOGITS_MNC)
LOG_PROBS_NC = UNCERTAINTY.log_probs_NC


def rows():
    """Yield every example by itself: its own logits alone, and its label."""
    for n, options in enumerate(OPTIONS_N):
        yield n, RAW_MNC[:, n, :options], LABELS_N[n]


def values_by_hand(of_row):
    terms_N = np.array([of_row(n, np.exp(log_softmax(own)).mean(axis=0), label) for n, own, label in rows()])
    return WEIGHTS_DN @ terms_N / WEIGHTS_DN.sum(axis=1)


@pytest.mark.parametrize(
    "name", ["entropy_N", "expected_entropy_N", "mutual_information_N", "variance_N", "confidence_N", "margin_N",
             "expected_pairwise_kl_N", "disagreement_N", "spread_N", "prediction_N"]
)  # fmt: skip
def test_every_measure_of_a_row_is_that_of_its_own_classes(name):
    by_hand = [getattr(measure_uncertainty(own[:, None]), name)[0] for _, own, _ in rows()]
    np.testing.assert_allclose(getattr(UNCERTAINTY, name), by_hand, rtol=1e-12, atol=1e-14)


def test_lacking_classes_have_no_probability_and_entropies_have_their_own_maximum():
    assert (UNCERTAINTY.probs_NC[np.arange(CLASSES) >= OPTIONS_N[:, None]] == 0).all()
    flat = measure_uncertainty(masked(np.zeros((2, 3, CLASSES)), np.array([3, 4, 5])))
    np.testing.assert_allclose(flat.entropy_N, np.log([3, 4, 5]))
    np.testing.assert_allclose(flat.normalised_entropy_N, 1.0)
    assert flat.options_N.tolist() == [3, 4, 5]
    assert measure_uncertainty(RAW_MNC).lacks_NC is None


@pytest.mark.parametrize(
    ("name", "of_row"),
    [
        ("accuracy", lambda n, probs, label: float(probs.argmax() == label)),
        ("nll", lambda n, probs, label: -math.log(probs[label])),
        ("brier", lambda n, probs, label: sum((p - (c == label)) ** 2 for c, p in enumerate(probs))),
    ],
)
def test_metrics_that_are_means_are_those_of_a_loop(name, of_row):
    family = quality_family(LOG_PROBS_NC, LABELS_N)(WEIGHTS_DN)
    np.testing.assert_allclose(family[name], values_by_hand(of_row), rtol=1e-12)


def test_the_classwise_error_is_a_mean_over_the_classes_that_rows_have():
    pairs = [(n, c, p, c == label) for n, own, label in rows()
             for c, p in enumerate(np.exp(log_softmax(own)).mean(axis=0))]  # fmt: skip
    for d, weights_N in enumerate(WEIGHTS_DN):
        gaps = {}
        for n, c, p, happened in pairs:
            key = c, min(int(p * 15), 14)
            gaps[key] = gaps.get(key, 0.0) + weights_N[n] * (p - happened)
        by_hand = sum(map(abs, gaps.values())) / sum(weights_N[n] for n, *_ in pairs)
        assert quality_family(LOG_PROBS_NC, LABELS_N)(WEIGHTS_DN)["classwise_ece"][d] == pytest.approx(by_hand)


def test_the_parts_of_the_brier_score_still_make_it_up():
    values = quality_family(LOG_PROBS_NC, LABELS_N)(WEIGHTS_DN)
    parts = values["brier_reliability"] - values["brier_resolution"]
    parts = parts + values["brier_uncertainty"] + values["brier_within_bins"]
    np.testing.assert_allclose(parts, values["brier"], rtol=1e-12)


def test_the_area_is_taken_among_rows_that_have_the_class():
    above = below = 0.0
    for c in range(CLASSES):
        score = {n: math.log(p[c] / (1 - p[c])) for n, own, _ in rows() if len(own[0]) > c
                 for p in [np.exp(log_softmax(own)).mean(axis=0)]}  # fmt: skip
        positive = [s for n, s in score.items() if LABELS_N[n] == c]
        negative = [s for n, s in score.items() if LABELS_N[n] != c]
        area = np.mean([[(a > b) + 0.5 * (a == b) for b in negative] for a in positive])
        above, below = above + area * len(positive), below + len(positive)
    assert quality_family(LOG_PROBS_NC, LABELS_N)(WEIGHTS_DN)["auc"][0] == pytest.approx(above / below)


def test_residual_sums_say_what_the_metrics_say():
    values = quality_family(LOG_PROBS_NC, LABELS_N)(WEIGHTS_DN)
    for name, kind in (("classwise_ece", CLASSWISE_ECE), ("brier_reliability", BRIER_RELIABILITY)):
        sums = kind.sums(LOG_PROBS_NC, LABELS_N)
        assert kind.norm(sums.sums_H[None], sums)[0] == pytest.approx(values[name][0])
        assert sums.n_H.sum() == OPTIONS_N.sum()


def test_temperatures_are_those_of_the_rows_own_logits():
    labels_N = (LOGITS_MNC[0] / 2 + np.random.default_rng(3).gumbel(size=LOGITS_MNC[0].shape)).argmax(axis=1)

    def nll(temperature):
        return -np.mean([log_softmax(own[0] / temperature)[labels_N[n]] for n, own, _ in rows()])

    fitted = fit_temperature(LOGITS_MNC[0], labels_N).value
    assert nll(fitted) <= min(nll(fitted * 1.001), nll(fitted / 1.001))
    assert fitted not in (0.01, 100.0)
    temperatures = fit_temperatures(LOGITS_MNC, LABELS_N, members=tuple(range(4)))
    for log_probs_NC in temperatures.apply(LOGITS_MNC).values():
        assert (np.exp(log_probs_NC)[lacks(LOGITS_MNC[0])] == 0).all()
        np.testing.assert_allclose(np.exp(log_probs_NC).sum(axis=1), 1.0)


def test_no_set_holds_an_option_that_the_row_lacks_even_where_a_class_is_always_included():
    few = slice(0, 12)
    rules = fit_rules(UNCERTAINTY.probs_NC[few], LABELS_N[few], rng=np.random.default_rng(1))
    assert any(None in rule.thresholds for rule in rules)
    lacks_NC = UNCERTAINTY.lacks_NC
    sets = include(rules, UNCERTAINTY.probs_NC, rng=np.random.default_rng(2), lacks_NC=lacks_NC)
    assert not any((sets_NC & lacks_NC).any() for sets_NC in sets)
    unmasked = include(rules, UNCERTAINTY.probs_NC, rng=np.random.default_rng(2))
    assert any((sets_NC & lacks_NC).any() for sets_NC in unmasked)  # what the mask is for
    rows = np.arange(len(LABELS_N))
    for ours, theirs in zip(sets, unmasked, strict=True):
        assert (ours[rows, LABELS_N] == theirs[rows, LABELS_N]).all()  # and it costs no coverage


def test_labels_drawn_for_the_noise_floor_are_never_lacking():
    seen = []

    def note(weights_DN, labels_DN):
        seen.append(labels_DN)
        return np.zeros(len(labels_DN))

    sure_NC = log_softmax(masked(np.where(np.arange(CLASSES) == 2, 60.0, 0.0) + np.zeros((400, CLASSES)),
                                 np.full(400, 3)))  # fmt: skip
    for log_probs_NC in (LOG_PROBS_NC, sure_NC):
        seen.clear()
        noise_floor(log_probs_NC, {"seen": note}, draws=50)
        labels_DN = np.concatenate(seen)
        assert not lacks(log_probs_NC)[np.arange(labels_DN.shape[1]), labels_DN].any()


def test_constant_answers_are_among_the_rows_own_classes():
    counts_C = np.bincount(LABELS_N, minlength=CLASSES)
    values = constant_family(LABELS_N, CLASSES, lacks_NC=lacks(LOGITS_MNC[0]))(WEIGHTS_DN)
    weights_C = fitting_weights(LABELS_N, lacks(LOGITS_MNC[0]))
    by_hand = values_by_hand(lambda n, probs, label: -math.log(weights_C[label] / weights_C[: len(probs)].sum()))
    np.testing.assert_allclose(values["nll"], by_hand)
    right = values_by_hand(lambda n, probs, label: float(counts_C[: len(probs)].argmax() == label))
    np.testing.assert_allclose(values["accuracy"], right)


def test_who_guesses_among_the_options_is_not_better_than_constant_answers():
    rng = np.random.default_rng(4)
    options_N = rng.choice([2, 3, 5], size=600)
    labels_N = np.array([rng.integers(options) for options in options_N])
    guessed_MNC = masked(rng.normal(scale=0.02, size=(2, 600, 5)), options_N)
    predictions = Predictions.from_arrays(logits=guessed_MNC, labels=labels_N)

    metrics = evaluate_sets({"validation": predictions}, draws=200)["validation"].metrics

    assert {each.kind for each in metrics.findings} >= {"not_above_majority", "not_below_prior"}


def evaluated(logits_MNC, labels_N):
    main = Predictions.from_arrays(logits=logits_MNC[:, :200], labels=labels_N[:200], ids=list(map(str, range(200))))
    calibration = Predictions.from_arrays(
        logits=logits_MNC[:, 200:], labels=labels_N[200:], ids=list(map(str, range(200, 300)))
    )
    return evaluate_sets({"validation": main}, calibration=calibration, draws=40)["validation"]


def test_a_class_that_no_row_has_changes_no_number():
    labels_N = LABELS_N % 4
    four, padded = evaluated(RAW_MNC[..., :4], labels_N), evaluated(masked(RAW_MNC, np.full(300, 4)), labels_N)
    ranked = {"auc", "average_precision"}  # weighed by their examples where rows lack classes
    for metric in metrics_for(5):
        if metric.name not in ranked:
            ours, theirs = padded.metrics.ensemble[metric.name], four.metrics.ensemble[metric.name]
            for key, value in asdict(theirs).items():
                assert nearly(asdict(ours)[key], value), (metric.name, key)
    assert nearly(asdict(padded.metrics.constant_answers), asdict(four.metrics.constant_answers))
    assert nearly(asdict(padded.metrics.temperature.pooled)["temperatures"],
                  asdict(four.metrics.temperature.pooled)["temperatures"])  # fmt: skip
    for name, of_four in four.metrics.selective.items():
        assert nearly(asdict(padded.metrics.selective[name].numbers["aurc"]), asdict(of_four.numbers["aurc"]))
    for level, of_four in four.metrics.conformal.methods["aps"].items():
        ours = padded.metrics.conformal.methods["aps"][level]
        assert (ours.coverage, ours.mean_size) == (of_four.coverage, of_four.mean_size)


def nearly(ours, theirs):
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(nearly(ours[key], value) for key, value in theirs.items())
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(nearly, ours, theirs))
    return ours == pytest.approx(theirs, rel=1e-9, abs=1e-12) if isinstance(theirs, float) else ours == theirs


def test_the_order_of_the_options_changes_nothing_but_the_letters():
    order_NC = np.array([[*RNG.permutation(k), *range(k, CLASSES)] for k in OPTIONS_N])
    moved_MNC = np.take_along_axis(LOGITS_MNC, np.broadcast_to(order_NC, LOGITS_MNC.shape), axis=2)
    labels_N = np.argmax(order_NC == LABELS_N[:, None], axis=1)
    ours, theirs = evaluated(moved_MNC, labels_N), evaluated(LOGITS_MNC, LABELS_N)
    of_letters = {"balanced_accuracy", "macro_f1", "auc", "average_precision", "classwise_ece"}
    of_letters |= {metric.name for metric in METRICS if metric.name.startswith("brier_")}
    for name, estimate in theirs.metrics.ensemble.items():
        if name not in of_letters:
            assert ours.metrics.ensemble[name].value == pytest.approx(estimate.value, rel=1e-9), name
    for name in ("entropy_N", "mutual_information_N", "variance_N", "confidence_N"):
        np.testing.assert_allclose(getattr(ours.uncertainty, name), getattr(theirs.uncertainty, name), atol=1e-12)
    assert ours.metrics.uncertainty["average_options"] == pytest.approx(OPTIONS_N[:200].mean())
    moved_N = np.take_along_axis(order_NC[:200], ours.uncertainty.prediction_N[:, None], axis=1)[:, 0]
    assert (moved_N == theirs.uncertainty.prediction_N).all()


def by_hand_of(metrics_of_rows):
    """Run something on the first 200 rows, each with the pooled probabilities of its own options alone."""
    return metrics_of_rows([(np.exp(log_softmax(own)).mean(axis=0), label) for n, own, label in rows() if n < 200])


def test_the_calibration_error_is_that_of_a_loop_over_rows():
    def ece(found):
        bins = {}
        for probs, label in found:
            bins.setdefault(min(int(max(probs) * 15), 14), []).append((max(probs), probs.argmax() == label))
        return sum(abs(sum(p - right for p, right in each)) for each in bins.values()) / len(found)

    assert evaluated(LOGITS_MNC, LABELS_N).metrics.ensemble["ece"].value == pytest.approx(by_hand_of(ece))


def test_the_area_under_the_risk_is_that_of_a_loop_over_rows():
    def aurc(found):
        answered = sorted((max(probs), probs.argmax() != label) for probs, label in found)[::-1]
        wrong = np.cumsum([is_wrong for _, is_wrong in answered])
        return float(np.mean(wrong / np.arange(1, len(found) + 1)))

    measured = evaluated(LOGITS_MNC, LABELS_N).metrics.selective["one_minus_confidence"].numbers["aurc"].value
    assert measured == pytest.approx(by_hand_of(aurc))


def test_class_by_class_numbers_are_those_of_a_loop_over_rows():
    found = by_hand_of(lambda each: [(int(probs.argmax()), int(label)) for probs, label in each])
    by_class = evaluated(LOGITS_MNC, LABELS_N).metrics.by_class
    for c, of_class in enumerate(by_class.classes):
        right = sum(answer == label == c for answer, label in found)
        assert of_class.n == sum(label == c for _, label in found)
        assert of_class.answered == sum(answer == c for answer, _ in found)
        assert of_class.recall.value == pytest.approx(right / of_class.n)
        assert of_class.precision.value == pytest.approx(right / of_class.answered)
    assert [list(row) for row in by_class.matrix] == [
        [sum(pair == (answer, label) for pair in found) for answer in range(CLASSES)] for label in range(CLASSES)
    ]


def test_conformal_sets_are_those_of_a_loop_over_rows():
    conformal = evaluated(LOGITS_MNC, LABELS_N).metrics.conformal.methods["lac"]
    held_out = [np.exp(log_softmax(own)).mean(axis=0)[label] for n, own, label in rows() if n >= 200]
    for level, found in conformal.items():
        strange = sorted(1 - p for p in held_out)[math.ceil((len(held_out) + 1) * float(level)) - 1]
        sets = by_hand_of(lambda each, most=strange: [([c for c, p in enumerate(probs) if 1 - p <= most + 1e-12], label)
                                                     for probs, label in each])  # fmt: skip
        assert found.coverage.value == pytest.approx(np.mean([label in own for own, label in sets]))
        assert found.mean_size.value == pytest.approx(np.mean([len(own) for own, _ in sets]))
