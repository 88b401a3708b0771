"""From predictions to the metrics JSON and the table of uncertainties: of records, of files, or of a whole run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation import describe as blocks
from ensemble_uq_llm.evaluation.decisions.held_out import HeldOut
from ensemble_uq_llm.evaluation.decisions.temperature import check_disjoint
from ensemble_uq_llm.evaluation.histograms import histogram_ends, histograms
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.evaluation.scores import uncertainty_scores
from ensemble_uq_llm.evaluation.single_examples import examples
from ensemble_uq_llm.evaluation.statistics.bootstrap import DRAWS, Resampled
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
from ensemble_uq_llm.run_folder import CALIBRATION, VALIDATION, RunFolder
from ensemble_uq_llm.utils.files import AnyPath, write_csv, write_json


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """One evaluated set: what was predicted, what is uncertain about it, and how good it is."""

    predictions: Predictions
    uncertainty: Uncertainty
    metrics: dict[str, Any]
    """The content of the metrics JSON (docs/metrics.md): plain numbers, None where undefined."""


def evaluate(
    predictions: Predictions, *, calibration: Predictions | None = None, draws: int = DRAWS, seed: int = 0
) -> Evaluation:
    """Evaluate one set; what `evaluate_sets` says of it where there is no other."""
    return evaluate_sets({VALIDATION: predictions}, calibration=calibration, draws=draws, seed=seed)[VALIDATION]


def evaluate_sets(
    sets: Mapping[str, Predictions],
    *,
    calibration: Predictions | None = None,
    compared: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Evaluate a set in distribution, and any number of shifted ones against it.

    Quality is measured on the labelled examples, uncertainty on all. Sets do not depend on each other but for
    the shift blocks and the common axis of the histograms.

    Args:
        sets: what every member said, by the sets' names; the first is the one in distribution.
        calibration: predictions of other examples of its kind, to which temperatures and conformal thresholds
            are fitted; without them those blocks are absent.
        compared: whether the other sets are shifts of the first, or just other sets.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of the bootstrap and of every other random choice.

    Raises:
        DataError: the sets differ in their number of classes, or calibration examples are among the test's.
    """
    held_out = None if calibration is None else HeldOut(name=CALIBRATION, predictions=calibration)
    _check_classes(sets if calibration is None else {**sets, CALIBRATION: calibration})
    if calibration is not None:
        for predictions in sets.values():
            check_disjoint(predictions, calibration)
    measured = {name: Measured.of(predictions) for name, predictions in sets.items()}
    ends = histogram_ends(list(measured.values()))
    main, *others = sets
    evaluations, resampled = {}, {}
    for name, each in measured.items():
        metrics, resampled[name] = _describe(each, held_out, draws=draws, seed=seed)
        metrics = {"name": name, "role": "other", **metrics, "histograms": histograms(each, ends)}
        if name == main:
            metrics |= {"role": "main", "other_sets": others, "examples": examples(each)}
        elif compared:
            metrics |= {"role": "shifted", "reference": main}
            metrics["shift"] = {"reference": main} | blocks.shift(
                each,
                measured[main],
                resampled=resampled[name],
                reference_resampled=resampled[main],
                draws=draws,
                seed=seed,
            )
        evaluations[name] = Evaluation(predictions=each.predictions, uncertainty=each.uncertainty, metrics=metrics)
    return evaluations


def evaluate_files(
    path: AnyPath,
    *,
    shifts: Mapping[str, AnyPath] | None = None,
    calibration: AnyPath | None = None,
    output: AnyPath | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Evaluate predictions files wherever they lie and whoever wrote them; the main set is named by its file.

    Args:
        path: predictions in any form that `load_predictions` reads.
        shifts: files of shifted sets by the sets' names.
        calibration: a file of other examples, for temperatures and conformal sets.
        output: where `uncertainty/NAME.csv`, `scores/NAME.csv` and `metrics/NAME.json` are written, if anywhere.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of every random choice.

    Raises:
        DataError: a file cannot be used, or two sets have one name.
    """
    path, shifts = Path(path), shifts or {}
    folder = None if output is None else RunFolder(Path(output))
    if path.stem in shifts:
        raise DataError(
            f"--shift {path.stem}: the main set {path} has that name already; name the shifted set otherwise"
        )
    if folder is not None:
        for name in (path.stem, *shifts):
            folder.metrics(name)  # a name that cannot be a file's is refused before any work
    sets = {name: load_predictions(file) for name, file in {path.stem: path, **shifts}.items()}
    evaluations = evaluate_sets(sets, calibration=_load_calibration(calibration), draws=draws, seed=seed)
    if folder is not None:
        _write(folder, evaluations)
    return evaluations


def evaluate_run(
    run: AnyPath,
    *,
    shifts: Mapping[str, AnyPath] | None = None,
    calibration: AnyPath | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Evaluate a run's predicted sets and write each one's metrics, uncertainties and scores into its folder.

    Where the run has predicted its own `validation` set, the others are shifts of it. What it has predicted of
    its own `calibration` split is no set to evaluate: temperatures and conformal sets are fitted to it.

    Args:
        run: the run, or the path of its folder.
        shifts: further sets, as `evaluate_files` takes them.
        calibration: a file to use in place of the run's own calibration split.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of every random choice.

    Raises:
        DataError: there are no predictions, two sets have one name, or a file cannot be used.
    """
    folder = RunFolder(Path(run))
    names = [name for name in folder.prediction_names() if name != CALIBRATION]
    if not names:
        raise DataError(f"{folder.root}: there are no predictions; train and predict first")
    files = {name: folder.predictions(name) for name in names}
    if taken := sorted(set(files) & set(shifts or {})):
        raise DataError(f"--shift {taken[0]}: the run has predicted a set of that name; name the file's otherwise")
    own = folder.predictions(CALIBRATION)
    evaluations = evaluate_sets(
        {name: load_predictions(path) for name, path in {**files, **(shifts or {})}.items()},
        calibration=_load_calibration(calibration or (own if own.exists() else None)),
        compared=VALIDATION in files,
        draws=draws,
        seed=seed,
    )
    _write(folder, evaluations)
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


def write_scores(path: Path, evaluation: Evaluation) -> None:
    """Write one CSV row an example: its id and every score of its uncertainty, higher being less certain."""
    scores = uncertainty_scores(evaluation.uncertainty)
    columns = [evaluation.predictions.ids, *(scores_N.tolist() for scores_N in scores.values())]
    write_csv(path, ["id", *scores], zip(*columns, strict=True))


def _write(folder: RunFolder, evaluations: Mapping[str, Evaluation]) -> None:
    for name, evaluation in evaluations.items():
        write_uncertainty(folder.uncertainty(name), evaluation)
        write_scores(folder.scores(name), evaluation)
        write_json(folder.metrics(name), evaluation.metrics)


def _describe(
    measured: Measured, held_out: HeldOut | None, *, draws: int, seed: int
) -> tuple[dict[str, Any], Resampled | None]:
    """Return all that is to be said of a set by itself, and the draws behind it if it has labels."""
    metrics, resampled = blocks.describe(measured), None
    if measured.n:
        calibrated = held_out.temperatures(measured) if held_out else {}
        resampled = blocks.resample_labelled(measured, calibrated, draws=draws, seed=seed)
        metrics |= blocks.labelled(measured, resampled, draws=draws, seed=seed)
        if held_out:
            metrics["temperature"] = blocks.temperature(
                measured, held_out, calibrated, resampled, draws=draws, seed=seed
            )
            metrics["conformal"] = held_out.conformal_sets(measured, draws=draws, seed=seed)
    if measured.predictions.true_probs_NC is not None:
        metrics["truth"] = blocks.truth(measured, draws=draws, seed=seed)
    return metrics, resampled


def _load_calibration(path: AnyPath | None) -> Predictions | None:
    return None if path is None else load_predictions(path)


def _check_classes(sets: Mapping[str, Predictions]) -> None:
    main, *others = sets
    expected = sets[main].logits_MNC.shape[2]
    for name in others:
        classes = sets[name].logits_MNC.shape[2]
        if classes != expected:
            raise DataError(f"set {name!r} has {classes} classes but {main!r} has {expected}; give sets of one task")
