"""Is one run better than another? Every metric's paired difference on the examples that both predicted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS, selective_family
from ensemble_uq_llm.evaluation.predictions.alignment import Aligned, align
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.evaluation.quality.metrics import CENTRED, Metric, metrics_for, quality_family
from ensemble_uq_llm.evaluation.scores import BASELINE, Quantity, uncertainty_scores
from ensemble_uq_llm.evaluation.statistics.bootstrap import DRAWS, Comparison, Resampled, compare, resample
from ensemble_uq_llm.evaluation.statistics.significance import SIGNIFICANCE_LEVEL, holm, mcnemar
from ensemble_uq_llm.evaluation.statistics.statistic import Family, joined
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, measure_uncertainty
from ensemble_uq_llm.utils.text import enumerated

_AURC = next(quantity for quantity in SELECTIVE_NUMBERS if quantity.name == "aurc")


def compare_predictions(a: Predictions, b: Predictions, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Compare two ensembles on the labelled examples that both predicted.

    For every metric that has a better side, and for the AURC of the baseline score: both values with their
    intervals, and the difference B - A, bootstrapped on the same draws for both, with its 95% interval, its p-value
    and the p-value adjusted for the number of comparisons. `better` is "A" or "B" where the interval excludes 0 and
    the plain p-value is below 0.05. No p-value is below 2 / (draws + 1), no adjusted one below that many times the
    comparisons: with few draws nothing passes. Beside it stands the exact McNemar test of the accuracy.

    Args:
        a: the predictions of A.
        b: the predictions of B; examples are matched by id, the members may be others and more or fewer.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        plain values for JSON, None where undefined; keys `n`, `classes`, `members`, `same_test_set`,
        `same_predictions`, `warnings`, `comparisons`, `metrics`, `mcnemar`, `verdict`.

    Raises:
        DataError: the numbers of classes differ, or no labelled example is in both.
    """
    aligned = align(a, b)
    sides = measure_uncertainty(aligned.a_MNC), measure_uncertainty(aligned.b_MNC)
    quantities = compared_quantities(aligned.a_MNC.shape[2])
    families = {name: _family(side, aligned.labels_N) for name, side in zip("AB", sides, strict=True)}
    resampled = resample(joined(families), sizes=[len(aligned.labels_N)], draws=draws, seed=seed)
    metrics = {each.name: _compared(each, resampled.part("A"), resampled.part("B")) for each in quantities}
    result = {
        "n": len(aligned.labels_N),
        "classes": aligned.a_MNC.shape[2],
        "members": {"A": len(a.members), "B": len(b.members)},
        "same_test_set": aligned.same_test_set,
        "same_predictions": aligned.same_predictions,
        "warnings": list(aligned.warnings),
        "comparisons": _adjust(metrics),
        "metrics": metrics,
        "mcnemar": _mcnemar(sides, aligned),
    }
    return result | {"verdict": _verdict(result, quantities)}


def _metrics(classes: int) -> list[Metric]:
    """Return the metrics that have a better side; the others tell of the labels, which A and B share."""
    return [metric for metric in metrics_for(classes) if metric.higher_is_better is not None]


def compared_quantities(classes: int) -> list[Metric | Quantity]:
    """Return what two runs are compared by: the metrics that have a better side, and the AURC."""
    return [*_metrics(classes), _AURC]


def _family(side: Uncertainty, labels_N: NDArray[np.int64]) -> Family:
    quality = quality_family(side.log_probs_NC, labels_N)
    selective = selective_family(uncertainty_scores(side)[BASELINE], side.prediction_N != labels_N)
    return lambda weights_DN: {**quality(weights_DN), _AURC.name: selective(weights_DN)[_AURC.name]}


def _compared(each: Metric | Quantity, a: Resampled, b: Resampled) -> dict[str, Any]:
    name, centred = each.name, each.name in CENTRED
    of_a, of_b = (each.centred(CENTRED).draws_D[name] for each in (a, b))
    difference = compare(b.values[name], of_b, a.values[name], of_a)
    return {
        "A": a.estimate(name, centred=centred).as_json(),
        "B": b.estimate(name, centred=centred).as_json(),
        "difference": difference.as_json() | {"p_holm": None},
        "better": _better(difference, higher_is_better=bool(each.higher_is_better)),
    }


def _better(difference: Comparison, *, higher_is_better: bool) -> str | None:
    if difference.ci95 is None or difference.p_value is None or difference.p_value >= SIGNIFICANCE_LEVEL:
        return None
    low, high = difference.ci95
    if low <= 0 <= high:
        return None
    return "B" if (low > 0) == higher_is_better else "A"


def _adjust(metrics: Mapping[str, dict[str, Any]]) -> int:
    """Set the adjusted p-values of all differences that have one, and return how many those are."""
    differences = [each["difference"] for each in metrics.values() if each["difference"]["p_value"] is not None]
    adjusted = holm([difference["p_value"] for difference in differences])
    for difference, p_value in zip(differences, adjusted, strict=True):
        difference["p_holm"] = p_value
    return len(differences)


def _mcnemar(sides: Sequence[Uncertainty], aligned: Aligned) -> dict[str, Any]:
    right_a_N, right_b_N = (side.prediction_N == aligned.labels_N for side in sides)
    only_a, only_b = int((right_a_N & ~right_b_N).sum()), int((right_b_N & ~right_a_N).sum())
    return {"only_a": only_a, "only_b": only_b, "p_value": mcnemar(only_a, only_b)}


def _verdict(result: Mapping[str, Any], quantities: Sequence[Metric | Quantity]) -> str:
    """Return what the comparison says, in one sentence."""
    if result["same_predictions"]:
        return "A and B are the same predictions: a run was compared with itself."
    metrics, comparisons = result["metrics"], result["comparisons"]
    where = f"On {result['n']:,} example{'s' if result['n'] > 1 else ''}"
    if not comparisons:
        return f"{where} nothing can be said about a difference between A and B."
    wins = {side: [q.title for q in quantities if metrics[q.name]["better"] == side] for side in ("A", "B")}
    if not any(wins.values()):
        return f"{where} none of {comparisons} comparisons tells A and B apart."
    said = [f"{side} is better in {enumerated(titles)}" for side, titles in wins.items() if titles]
    won = [q for q in quantities if metrics[q.name]["better"]]
    firm = [q.title for q in won if metrics[q.name]["difference"]["p_holm"] < SIGNIFICANCE_LEVEL]
    remains = "all of it" if len(firm) == len(won) else enumerated(firm) if firm else "nothing"
    corrected = f"after correction for {comparisons} comparisons (Holm)"
    return f"{where} {' and '.join(said)}; of this, {remains} remains {corrected}."
