"""From predictions to the metrics JSON and the table of uncertainties: of a record, a file, or a whole run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.inference.bootstrap import DRAWS, bootstrap
from ensemble_uq_llm.inference.metrics import METRICS
from ensemble_uq_llm.inference.predictions import Predictions, read_predictions
from ensemble_uq_llm.inference.shift import shift_statistics
from ensemble_uq_llm.inference.statistic import Statistic, value_of
from ensemble_uq_llm.inference.truth import truth_statistics
from ensemble_uq_llm.inference.uncertainty import Uncertainty, log_softmax, measure_uncertainty
from ensemble_uq_llm.run_folder import VALIDATION, RunFolder
from ensemble_uq_llm.utils.files import write_csv, write_json

_CENTRED = frozenset(metric.name for metric in METRICS if metric.centred)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """One evaluated set: what was predicted, what is uncertain about it, and how good it is."""

    predictions: Predictions
    uncertainty: Uncertainty
    metrics: dict[str, Any]
    """The content of the metrics JSON: plain numbers, None where undefined."""


def evaluate(predictions: Predictions, *, draws: int = DRAWS, seed: int = 0) -> Evaluation:
    """Evaluate one set; the metrics use its labelled examples, the uncertainties all of them.

    Args:
        predictions: what every member said.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of the bootstrap. Sets evaluated with the same seed do not depend on each other.
    """
    uncertainty = measure_uncertainty(predictions.logits_MNC)
    metrics: dict[str, Any] = {
        "n": len(predictions.ids),
        "labelled": int(predictions.labelled_N.sum()),
        "members": len(predictions.seeds),
        "seeds": list(predictions.seeds),
        "ensemble": {},
        "members_mean": {},
        "per_member": [],
        "uncertainty": _averages(uncertainty),
    }
    if metrics["labelled"]:
        labels_N = predictions.labels_N[predictions.labelled_N]
        log_probs_NC = uncertainty.log_probs_NC[predictions.labelled_N]
        statistics = {metric.name: metric.statistic(log_probs_NC, labels_N) for metric in METRICS}
        metrics["ensemble"] = _estimates(statistics, [len(labels_N)], draws=draws, seed=seed)
        metrics["per_member"] = _per_member(predictions)
        metrics["members_mean"] = {
            name: {"value": _mean([member[name]["value"] for member in metrics["per_member"]])} for name in statistics
        }
    if predictions.true_probs_NC is not None:
        truth = truth_statistics(uncertainty.log_probs_NC, predictions.true_probs_NC, predictions.labels_N)
        metrics["truth"] = _estimates(truth, [len(predictions.ids)], draws=draws, seed=seed)
    return Evaluation(predictions=predictions, uncertainty=uncertainty, metrics=metrics)


def evaluate_file(path: Path, *, draws: int = DRAWS, seed: int = 0) -> Evaluation:
    """Evaluate a predictions Parquet wherever it lies and whoever wrote it; raises DataError if it is none."""
    return evaluate(read_predictions(path), draws=draws, seed=seed)


def evaluate_run(
    folder: RunFolder, *, names: Sequence[str] | None = None, draws: int = DRAWS, seed: int = 0
) -> dict[str, Evaluation]:
    """Evaluate a run's predicted sets and write `uncertainty/NAME.csv` and `metrics/NAME.json` of each.

    Where the run has predicted its own `validation` set, the other sets' metrics also say, under `shift`,
    how well uncertainty tells them from it.

    Args:
        folder: the run.
        names: the sets to evaluate; all predicted ones by default.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of the bootstrap.

    Raises:
        DataError: there are no predictions, a named set has none, or a file cannot be used.
    """
    available = folder.prediction_names()
    if unknown := sorted(set(names or ()) - set(available)):
        raise DataError(
            f"{folder.predictions(unknown[0])}: there is no such file; the run has predicted "
            f"{', '.join(available) or 'nothing'}, so predict {unknown[0]!r} first or correct the name"
        )
    if not available:
        raise DataError(f"{folder.root}: there are no predictions; train and predict first")
    evaluations = {name: evaluate_file(folder.predictions(name), draws=draws, seed=seed) for name in names or available}
    if VALIDATION in available and set(evaluations) != {VALIDATION}:
        reference = _uncertainty_of_validation(folder, evaluations)
        for name, evaluation in evaluations.items():
            if name != VALIDATION:
                evaluation.metrics["shift"] = _shift(evaluation.uncertainty, reference, draws=draws, seed=seed)
    for name, evaluation in evaluations.items():
        write_uncertainty(folder.uncertainty(name), evaluation)
        write_json(folder.metrics(name), evaluation.metrics)
    return evaluations


def write_uncertainty(path: Path, evaluation: Evaluation) -> None:
    """Write one CSV row an example: label, prediction, probabilities and every measure of uncertainty."""
    predictions, uncertainty = evaluation.predictions, evaluation.uncertainty
    columns: dict[str, Sequence[Any]] = {
        "id": predictions.ids,
        "label": predictions.labels,
        "prediction": uncertainty.prediction_N.tolist(),
        "confidence": uncertainty.confidence_N.tolist(),
    }
    columns |= {f"p_{c}": probs_N.tolist() for c, probs_N in enumerate(uncertainty.probs_NC.T)}
    columns |= {
        "variance": uncertainty.variance_N.tolist(),
        "entropy": uncertainty.entropy_N.tolist(),
        "expected_entropy": uncertainty.expected_entropy_N.tolist(),
        "mutual_information": uncertainty.mutual_information_N.tolist(),
        "disagreement": uncertainty.disagreement_N.tolist(),
    }
    write_csv(path, list(columns), zip(*columns.values(), strict=True))


def _estimates(statistics: Mapping[str, Statistic], sizes: Sequence[int], *, draws: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    estimates = bootstrap(statistics, sizes=sizes, draws=draws, rng=rng, centred=_CENTRED)
    return {name: estimate.as_json() for name, estimate in estimates.items()}


def _uncertainty_of_validation(folder: RunFolder, evaluations: Mapping[str, Evaluation]) -> Uncertainty:
    if VALIDATION in evaluations:
        return evaluations[VALIDATION].uncertainty
    return measure_uncertainty(read_predictions(folder.predictions(VALIDATION)).logits_MNC)


def _shift(shifted: Uncertainty, reference: Uncertainty, *, draws: int, seed: int) -> dict[str, Any]:
    sizes = [len(shifted.entropy_N), len(reference.entropy_N)]
    statistics = shift_statistics(shifted, reference)
    return {"reference": VALIDATION, "auroc": _estimates(statistics, sizes, draws=draws, seed=seed)}


def _per_member(predictions: Predictions) -> list[dict[str, Any]]:
    labels_N = predictions.labels_N[predictions.labelled_N]
    log_probs_MNC = log_softmax(predictions.logits_MNC[:, predictions.labelled_N])
    members = []
    for seed, log_probs_NC in zip(predictions.seeds, log_probs_MNC, strict=True):
        values = {m.name: value_of(m.statistic(log_probs_NC, labels_N), len(labels_N)) for m in METRICS}
        record: dict[str, Any] = {"seed": seed}
        record |= {name: {"value": None if np.isnan(value) else value} for name, value in values.items()}
        members.append(record)
    return members


def _averages(uncertainty: Uncertainty) -> dict[str, float]:
    return {
        "average_entropy": float(uncertainty.entropy_N.mean()),
        "average_expected_entropy": float(uncertainty.expected_entropy_N.mean()),
        "average_mutual_information": float(uncertainty.mutual_information_N.mean()),
        "average_variance": float(uncertainty.variance_N.mean()),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
