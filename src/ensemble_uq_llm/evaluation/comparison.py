"""Is one run better than another? Every metric's paired difference on the examples that both predicted."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ensemble_uq_llm.evaluation.decisions.disjoint import check_none_was_trained_on
from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS, selective_family
from ensemble_uq_llm.evaluation.protocol.known_of_predictions import known_of_predictions
from ensemble_uq_llm.evaluation.protocol.protocols_beside import protocols_beside
from ensemble_uq_llm.evaluation.quality.metrics import CENTRED, Metric, metrics_for, quality_family, summed_for
from ensemble_uq_llm.evaluation.quality.predictor import quality_changes
from ensemble_uq_llm.evaluation.quality.true_error import ErrorLaw, error_laws
from ensemble_uq_llm.evaluation.records import (
    AdjustedComparison,
    ComparedMetric,
    McNemar,
    MetricEstimate,
    RunComparison,
    Side,
)
from ensemble_uq_llm.evaluation.scores import BASELINE, Quantity, scores_to_rank
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, measure_uncertainty
from ensemble_uq_llm.predictions.alignment import align
from ensemble_uq_llm.predictions.ordering import by_name
from ensemble_uq_llm.predictions.record import Predictions, check_is_predictions
from ensemble_uq_llm.statistics.bootstrap import (
    DRAWS,
    Resampled,
    check_resampling,
    resample_together,
)
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, SIGNIFICANCE_LEVEL, holm, mcnemar
from ensemble_uq_llm.statistics.statistic import Family
from ensemble_uq_llm.utils.text import enumerated

Key = TypeVar("Key", bound=Hashable)

_ADAPTER: Final = TypeAdapter(RunComparison)
_KEYS: Final = (
    *("n", "classes", "members", "same_test_set", "same_predictions", "warnings"),
    *("comparisons", "metrics", "mcnemar", "verdict", "protocols"),
)
_SAME: Final = "A and B are the same predictions: a run was compared with itself."
_AURC = next(quantity for quantity in SELECTIVE_NUMBERS if quantity.name == "aurc")


def compare_predictions(a: Predictions, b: Predictions, *, draws: int = DRAWS, seed: int = 0) -> RunComparison:
    """Compare two ensembles on the labelled examples that both predicted.

    For every metric that has a better side, and for the AURC of the baseline score: both values with their
    intervals, and the difference B - A, bootstrapped on the same draws for both, with its 95% interval, its p-value
    and the p-value adjusted for the number of comparisons. The difference of calibration errors is that of the true
    errors (`debiased`), for noise raises the values; of the largest gap and the resolution, which cannot be freed of
    noise, it has neither interval nor p-value. `better` is "A" or "B" where the interval excludes 0 and the plain
    p-value is below 0.05. p-values are two-sided. None is below 2 / (draws + 1), no adjusted one below that many times
    the comparisons: with few draws nothing passes; none is below 2 / 2^n of n examples that A and B predict
    differently; and below 20 examples there is none. Beside it stands the exact McNemar test of the accuracy.

    Args:
        a: the predictions of A.
        b: the predictions of B; examples are matched by id, the members may be others and more or fewer.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ConfigError: a or b are no `Predictions`, or draws or seed no whole number of at least 0.
        DataError: the numbers of classes differ, one is of rows out of bags, or no labelled example is in both.
    """
    for each in (a, b):
        check_is_predictions(each, "compare_predictions")
    check_none_was_trained_on({"A": a, "B": b})
    check_resampling(draws=draws, seed=seed)
    aligned = align(a, b)
    n, classes = len(aligned.ids), aligned.a_MNC.shape[2]
    order_N = by_name(aligned.ids)  # so that the draws do not depend on the order of either file
    labels_N = aligned.labels_N[order_N]
    side_a, side_b = (measure_uncertainty(side_MNC[:, order_N]) for side_MNC in (aligned.a_MNC, aligned.b_MNC))
    families: dict[Side, Family[str]] = {"A": _family(side_a, labels_N), "B": _family(side_b, labels_N)}
    resampled = resample_together(families, sizes=[n], draws=draws, seed=seed)
    test, differing = _mcnemar(side_a, side_b, labels_N), _differing(side_a, side_b)
    errors = error_laws(
        {"A": side_a.log_probs_NC, "B": side_b.log_probs_NC},
        labels_N,
        summed_for(metrics_for(classes)),
        draws=draws,
        seed=seed,
    )
    hangs_on = {each.name: differing for each in compared_quantities(classes)}
    hangs_on["accuracy"] = test.only_a + test.only_b
    differences = quality_changes(
        *(resampled["B"], resampled["A"], errors["B"], errors["A"]), paired=True, differing=hangs_on
    )
    compared = {
        each.name: _compared(
            each,
            a=_estimate(each.name, resampled["A"], errors["A"]),
            b=_estimate(each.name, resampled["B"], errors["B"]),
            difference=differences[each.name],
        )
        for each in compared_quantities(classes)
    }
    metrics = _adjusted(compared)
    comparisons = sum(each.difference.p_value is not None for each in metrics.values())
    return RunComparison(
        n=n,
        classes=classes,
        members_a=len(a.members),
        members_b=len(b.members),
        same_test_set=aligned.same_test_set,
        same_predictions=aligned.same_predictions,
        warnings=aligned.warnings,
        comparisons=comparisons,
        metrics=metrics,
        mcnemar=test,
        protocols=protocols_beside(*(known_of_predictions(each, calibration_rows=0) for each in (a, b))),
        verdict=_SAME if aligned.same_predictions else _verdict(n, classes, comparisons, metrics),
    )


def adjusted_together(results: Sequence[RunComparison]) -> list[RunComparison]:
    """Return comparisons of several runs with one A, their p-values adjusted for the number of all comparisons made."""
    metrics = [metric for result in results for metric in result.metrics.values()]
    adjusted = iter(_adjusted(dict(enumerate(metrics))).values())
    comparisons = sum(result.comparisons for result in results)
    together = []
    for result in results:
        own = {name: next(adjusted) for name in result.metrics}
        verdict = result.verdict if result.same_predictions else _verdict(result.n, result.classes, comparisons, own)
        together.append(replace(result, metrics=own, comparisons=comparisons, verdict=verdict))
    return together


def compared_quantities(classes: int) -> list[Metric | Quantity]:
    """Return what two runs are compared by: the metrics that have a better side, and the AURC."""
    # The other metrics tell of the labels, which A and B share.
    metrics = [metric for metric in metrics_for(classes) if metric.higher_is_better is not None]
    return [*(metric for metric in metrics if metric.same_as is None), _AURC]


def comparison_json(result: RunComparison) -> dict[str, Any]:
    """Return a comparison as plain values for programs, None where undefined.

    Keys are `n`, `classes`, `members` (of `A` and `B`), `same_test_set`, `same_predictions`, `warnings`,
    `comparisons`, `metrics` (`A`, `B`, `difference` and `better` of each), `mcnemar`, `verdict`, and `protocols` (of
    `A` and `B`, and the fields in which they differ or that are known of one side only).
    """
    content: dict[str, Any] = _ADAPTER.dump_python(result, mode="json")
    content["members"] = {"A": content.pop("members_a"), "B": content.pop("members_b")}
    beside = content["protocols"]
    content["protocols"] = {
        **{side: _known(beside[side.lower()]) for side in ("A", "B")},
        **{key: beside[key] for key in ("differs_in", "known_of_one")},
    }
    for each in content["metrics"].values():
        for side in ("A", "B"):
            each[side] = each.pop(side.lower())
            each[side] = _without_defaults(each[side])
    return {key: content[key] for key in _KEYS}


def _known(protocol: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in protocol.items() if value is not None and value != []}


def _without_defaults(estimate: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in estimate.items() if value or key in ("value", "ci95")}
    if "debiased" in kept:
        kept["debiased"] = _without_defaults(kept["debiased"])
    return kept


def _family(side: Uncertainty, labels_N: NDArray[np.int64]) -> Family[str]:
    quality = quality_family(side.log_probs_NC, labels_N)
    [scores] = scores_to_rank(side)
    selective = selective_family(scores[BASELINE], side.prediction_N != labels_N)
    return lambda weights_DN: {**quality(weights_DN), _AURC.name: selective(weights_DN)[_AURC.name]}


def _estimate(name: str, resampled: Resampled[str], errors: Mapping[str, ErrorLaw]) -> MetricEstimate:
    estimate = resampled.estimate(name, centred=name in CENTRED)
    return MetricEstimate(**asdict(estimate), debiased=errors[name].estimate() if name in errors else None)


def _compared(
    each: Metric | Quantity, *, a: MetricEstimate, b: MetricEstimate, difference: Comparison
) -> ComparedMetric:
    return ComparedMetric(
        a=a,
        b=b,
        difference=AdjustedComparison(**asdict(difference), p_holm=None),
        better=_better(difference, higher_is_better=bool(each.higher_is_better)),
    )


def _better(difference: Comparison, *, higher_is_better: bool) -> Side | None:
    if difference.ci95 is None or difference.p_value is None or difference.p_value >= SIGNIFICANCE_LEVEL:
        return None
    low, high = difference.ci95
    if low <= 0 <= high:
        return None
    return "B" if (low > 0) == higher_is_better else "A"


def _adjusted(metrics: Mapping[Key, ComparedMetric]) -> dict[Key, ComparedMetric]:
    """Return the metrics with the p-values, where there are any, adjusted for their number."""
    p_values = {name: each.difference.p_value for name, each in metrics.items()}
    known = {name: p_value for name, p_value in p_values.items() if p_value is not None}
    p_holm = dict(zip(known, holm(list(known.values())), strict=True))
    return {
        name: replace(each, difference=replace(each.difference, p_holm=p_holm.get(name)))
        for name, each in metrics.items()
    }


def _mcnemar(a: Uncertainty, b: Uncertainty, labels_N: NDArray[np.int64]) -> McNemar:
    right_a_N, right_b_N = a.prediction_N == labels_N, b.prediction_N == labels_N
    only_a, only_b = int((right_a_N & ~right_b_N).sum()), int((right_b_N & ~right_a_N).sum())
    return McNemar(only_a=only_a, only_b=only_b, p_value=mcnemar(only_a, only_b))


def _differing(a: Uncertainty, b: Uncertainty) -> int:
    """Return how many examples A and B predict differently."""
    return int((a.log_probs_NC != b.log_probs_NC).any(axis=1).sum())


def _verdict(n: int, classes: int, comparisons: int, metrics: Mapping[str, ComparedMetric]) -> str:
    """Return what the comparison says, in one sentence."""
    where = f"On {n:,} example{'s' if n > 1 else ''}"
    if not comparisons:
        few = f": that takes at least {FEWEST_EXAMPLES}" if n < FEWEST_EXAMPLES else ""
        return f"{where} nothing can be said about a difference between A and B{few}."
    won = [each for each in compared_quantities(classes) if metrics[each.name].better]
    if not won:
        return f"{where} none of {comparisons} comparisons tells A and B apart."
    wins = {side: [each.title for each in won if metrics[each.name].better == side] for side in ("A", "B")}
    said = [f"{side} is better in {enumerated(titles)}" for side, titles in wins.items() if titles]
    firm = [each.title for each in won if _is_firm(metrics[each.name].difference)]
    remains = "all of it" if len(firm) == len(won) else enumerated(firm) if firm else "nothing"
    corrected = f"after correction for {comparisons} comparisons (Holm)"
    return f"{where} {' and '.join(said)}; of this, {remains} remains {corrected}."


def _is_firm(difference: AdjustedComparison) -> bool:
    return difference.p_holm is not None and difference.p_holm < SIGNIFICANCE_LEVEL
