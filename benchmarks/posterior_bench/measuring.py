"""The numbers of one method on one training set: what the package's evaluation says, and the truth beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.evaluate import evaluate_sets
from ensemble_uq_llm.evaluation.quality.noise_floor import noise_floor
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.run_folder import VALIDATION
from posterior_bench.answers import Sets
from posterior_bench.world.worlds import UNANSWERABLE, World
from real.mean_member import ECE

Numbers = dict[str, float]
"""By name; `auroc/SET/SCORE` of detection, `auroc/unanswerable/SCORE` the mean over the sets nobody could answer."""

OF_DISAGREEMENT: Final = frozenset(score.name for score in SCORES if score.is_of_disagreement)
"""Scores that a single set of weights does not have."""

MEAN_SHIFT: Final = "unanswerable"


def with_truth(sets: Sets, world: World) -> Sets:
    """Return predictions of a world's rows with their true probabilities."""
    return {name: replace(each, true_probs_NC=world.truth(name, each.ids)) for name, each in sets.items()}


def measure(sets: Sets, *, draws: int) -> Numbers:
    """Return everything that is measured of a method in a world; `draws` are those of the noise floor of the ECE.

    Nothing else is drawn: the interval is over training sets, not over test rows.
    """
    evaluations = evaluate_sets(sets, draws=0)
    metrics = {name: each.metrics for name, each in evaluations.items()}
    main = metrics[VALIDATION]
    floor = ece_floor(evaluations[VALIDATION].uncertainty.log_probs_NC, draws=draws)
    return {
        **_quality(main),
        "ece_floor": floor,
        "ece_excess": _value(main.ensemble["ece"]) - floor,
        "nll_over_bayes": _value(main.ensemble["nll"]) - bayes_nll(sets[VALIDATION]),
        **{f"truth/{name}": _value(each) for name, each in main.truth.items()},
        **_detection(metrics),
    }


def bayes_nll(predictions: Predictions) -> float:
    """Return the NLL, on the same labels, of one who knows the true probabilities."""
    true_NC = predictions.true_probs_NC
    assert true_NC is not None, "only a world's rows have a truth"
    return float(-np.log(np.take_along_axis(true_NC, predictions.labels_N[:, None], axis=1)).mean())


def ece_floor(log_probs_NC: NDArray[np.float64], *, draws: int) -> float:
    """Return what a calibrated predictor of these probabilities would show as ECE."""
    assert ECE.calibration is not None, "the ECE is a calibration error"
    return noise_floor(log_probs_NC, {ECE.name: ECE.calibration(log_probs_NC)}, draws=draws)[ECE.name].mean


def mean_of(each: Sequence[Numbers]) -> Numbers:
    """Return the mean over members of every number that all of them have."""
    names = [name for name in each[0] if all(name in other for other in each)]
    return {name: float(np.mean([other[name] for other in each])) for name in names}


def _quality(main: SetMetrics) -> Numbers:
    aurc = main.selective[BASELINE].numbers["aurc"]
    return {
        **{name: _value(main.ensemble[name]) for name in ("accuracy", "nll", "brier", "ece")},
        "aurc": _value(aurc),
        **{f"average/{name}": value for name, value in main.uncertainty.items()},
    }


def _detection(metrics: Mapping[str, SetMetrics]) -> Numbers:
    found: Numbers = {}
    for name, each in metrics.items():
        if each.shift is None:
            continue
        for score, auroc in each.shift.numbers["auroc"].items():
            if each.several or score not in OF_DISAGREEMENT:
                found[f"auroc/{name}/{score}"] = _value(auroc)
    for score in {name.rpartition("/")[2] for name in found}:
        values = [found[f"auroc/{name}/{score}"] for name in UNANSWERABLE if f"auroc/{name}/{score}" in found]
        if len(values) == len(UNANSWERABLE):
            found[f"auroc/{MEAN_SHIFT}/{score}"] = float(np.mean(values))
    return found


def _value(estimate: object) -> float:
    value = getattr(estimate, "value", None)
    return float("nan") if value is None else float(value)
