"""The members of a run each by itself, with and without a temperature of its own, on the average.

The evaluation says what the members are on the average, but neither how sure that is nor what a temperature does to
each. Both are the mean over members of what a reader would get who had trained one only. Draws are those of the
evaluation, so the differences from the ensemble are paired.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm import Run
from ensemble_uq_llm.evaluation.decisions.disjoint import without_test_examples
from ensemble_uq_llm.evaluation.decisions.selective import selective_family
from ensemble_uq_llm.evaluation.decisions.temperature import Temperatures, fit_temperatures
from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.quality.noise_floor import noise_floor
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.predictions.ordering import in_order
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_labelled
from ensemble_uq_llm.run_folder import CALIBRATION
from ensemble_uq_llm.statistics.bootstrap import DRAWS, Resampled, compare, resample_together
from ensemble_uq_llm.statistics.statistic import Family, family_of
from ensemble_uq_llm.utils.files import write_text

COMPARED: Final = tuple(metric for metric in METRICS if metric.name in ("accuracy", "nll", "brier"))
ECE: Final = next(metric for metric in METRICS if metric.name == "ece")


def write_mean_member(run: Path, target: Path, *, draws: int = DRAWS) -> None:
    """Measure the mean member of a run on its evaluation split, and write a JSON."""
    predicted, calibration = (in_order(each)[0] for each in (Run(run).predictions(), Run(run).predictions(CALIBRATION)))
    calibration = without_test_examples(calibration, predicted)
    found = mean_member(of_labelled(predicted), of_labelled(calibration), draws=draws)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, json.dumps(found, indent=2) + "\n")


def mean_member(predicted: Predictions, calibration: Predictions, *, draws: int) -> dict[str, Any]:
    """Return the mean member's metrics as it is (`raw`) and after a temperature (`scaled`).

    Args:
        predicted: of the labelled examples to measure.
        calibration: of the labelled examples to fit temperatures on.
        draws: of the bootstrap and of the noise floors.
    """
    fitted = fit_temperatures(calibration.logits_MNC, calibration.labels_N, calibration.members)
    labels_N = predicted.labels_N
    scaled_MNC = np.stack(
        [log_softmax(each / by.value) for each, by in zip(predicted.logits_MNC, fitted.per_member, strict=True)]
    )
    members = {"raw": log_softmax(predicted.logits_MNC), "scaled": scaled_MNC}
    families = {
        (which, m): _family(log_probs_NC, labels_N)
        for which, log_probs_MNC in members.items()
        for m, log_probs_NC in enumerate(log_probs_MNC)
    }
    families["ensemble", 0] = _family(fitted.apply(predicted.logits_MNC)["pooled"], labels_N)
    numbers = resample_together(families, sizes=[len(labels_N)], draws=draws, seed=0)
    means = {which: _mean([numbers[which, m] for m in range(len(predicted.members))]) for which in members}
    return {
        **{
            which: {name: asdict(each) for name, each in mean.estimates(centred={ECE.name}).items()}
            for which, mean in means.items()
        },
        "ece_floor": {which: _floor(log_probs_MNC, draws) for which, log_probs_MNC in members.items()},
        "ensemble_minus_mean_scaled": _gains(numbers["ensemble", 0], means["scaled"]),
        "temperatures": _values(fitted),
    }


def _family(log_probs_NC: NDArray[np.float64], labels_N: NDArray[np.int64]) -> Family[str]:
    """Return a predictor's metrics, and the AURC by its own confidence."""
    quality = family_of({metric.name: metric.statistic(log_probs_NC, labels_N) for metric in (*COMPARED, ECE)})
    selective = selective_family(-np.exp(log_probs_NC.max(axis=1)), log_probs_NC.argmax(axis=1) != labels_N)
    return lambda weights_DN: {**quality(weights_DN), "aurc": selective(weights_DN)["aurc"]}


def _mean(members: Sequence[Resampled[str]]) -> Resampled[str]:
    """Return the mean over members, draw by draw."""
    return Resampled(
        values={name: float(np.mean([each.values[name] for each in members])) for name in members[0].values},
        draws_D={name: np.mean([each.draws_D[name] for each in members], axis=0) for name in members[0].draws_D},
        examples=members[0].examples,
    )


def _floor(log_probs_MNC: NDArray[np.float64], draws: int) -> float:
    """Return the mean over members of what a calibrated one would show as ECE."""
    assert ECE.calibration is not None
    floors = [noise_floor(each, {ECE.name: ECE.calibration(each)}, draws=draws) for each in log_probs_MNC]
    return float(np.mean([floor[ECE.name].mean for floor in floors]))


def _gains(ours: Resampled[str], theirs: Resampled[str]) -> Mapping[str, Any]:
    return {
        metric.name: asdict(
            compare(
                *(ours.values[metric.name], ours.draws_D[metric.name]),
                *(theirs.values[metric.name], theirs.draws_D[metric.name]),
                examples=ours.examples,
            )
        )
        for metric in COMPARED
        if metric.name != "accuracy"  # no temperature changes an answer
    }


def _values(fitted: Temperatures) -> dict[str, Any]:
    return {"pooled": fitted.pooled.value, "per_member": [each.value for each in fitted.per_member]}
