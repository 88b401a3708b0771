"""Predictions files and run folders evaluated, and their metrics, uncertainties and scores written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.evaluation.evaluate import Evaluation, evaluate_sets
from ensemble_uq_llm.evaluation.files.example_tables import write_scores, write_uncertainty
from ensemble_uq_llm.evaluation.files.metrics_json import make_room, write_metrics
from ensemble_uq_llm.evaluation.protocol.known_of_run import known_of_run
from ensemble_uq_llm.evaluation.protocol.protocol_in_words import with_protocol
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.predictions.freshness import check_fresh
from ensemble_uq_llm.predictions.ordering import members_by_identity
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.run_folder import CALIBRATION, HELD_OUT, OUT_OF_BAG, VALIDATION, RunFolder
from ensemble_uq_llm.samples.posterior_record import posterior_of, warn_of_few
from ensemble_uq_llm.statistics.bootstrap import DRAWS
from ensemble_uq_llm.storage.places import check_can_be_written
from ensemble_uq_llm.utils.files import AnyPath, as_named_paths, as_path, sha256_of


def evaluate_files(
    path: AnyPath,
    *,
    shifts: Mapping[str, AnyPath] | None = None,
    calibration: AnyPath | None = None,
    output: AnyPath | None = None,
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Evaluate predictions files wherever they lie and whoever wrote them; the main set is named by its file.

    Args:
        path: predictions in any form that `load_predictions` reads.
        shifts: files of shifted sets by the sets' names.
        calibration: a file of other examples, for temperatures and conformal sets.
        output: where `uncertainty/NAME.csv`, `scores/NAME.csv`, `metrics/NAME.json` and, with a calibration set,
            `decision.json` are written, if anywhere, in place of what an earlier evaluation left there.
        columns: what the files call our columns, as of `load_predictions`.
        classes: the names of the classes, as of `load_predictions`.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of every random choice.

    Raises:
        DataError: a file cannot be used, or two sets have one name. ConfigError: the output is the folder of a run.
    """
    path, shifts = as_path(path, "path"), as_named_paths(shifts, "shifts")
    folder = None if output is None else RunFolder(as_path(output, "output"))
    if path.stem in shifts:
        raise DataError(
            f"--shift {path.stem}: the main set {path} has that name already; name the shifted set otherwise"
        )
    if folder is not None:
        check_can_be_written(folder.root)
        if folder.is_run():
            raise ConfigError(
                f"--output {folder.root}: this is the folder of a run, which holds the evaluation of its own sets; "
                "name another folder, or evaluate the run with this file as --shift NAME=FILE"
            )
        for name in (path.stem, *shifts):
            folder.metrics(name)  # a name that cannot be a file's is refused before any work
    files = {path.stem: path, **shifts}

    def read(file: AnyPath) -> Predictions:
        return members_by_identity(load_predictions(file, columns=columns, classes=classes))

    held_out = None if calibration is None else read(as_path(calibration, "calibration"))
    sets = {name: read(file) for name, file in files.items()}
    evaluations = evaluate_sets(sets, calibration=held_out, draws=draws, seed=seed)
    if folder is not None:
        with folder.owned("evaluate"):
            _write(folder, evaluations)
    return evaluations


def evaluate_run(
    run: AnyPath,
    *,
    shifts: Mapping[str, AnyPath] | None = None,
    declared: Collection[str] = (),
    calibration: AnyPath | None = None,
    seeds: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Evaluate a run's predicted sets and write each one's metrics, uncertainties and scores into its folder.

    The others are compared with the run's own `validation` set, if there is one; only declared shifts are called that.
    Temperatures and conformal sets are fitted to its own `calibration` split, or else to `out_of_bag`, the training
    rows by the members that left them out; neither is a set to evaluate.

    Args:
        run: the run, or the path of its folder.
        shifts: further, shifted sets, as `evaluate_files` takes them.
        declared: the names of predicted sets that are shifted, too, such as those of `declared_shifts`.
        calibration: a file to use in place of the run's own calibration split.
        seeds: whose members the sets must be predicted by; those of the run's configuration without.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of every random choice.

    Raises:
        ConfigError: a name cannot be a set's; nothing has been written.
        DataError: there are no predictions, or other members made them than those that the run has now; two sets have
            one name, or a file cannot be used.
    """
    folder, shifts = RunFolder(as_path(run, "run")), as_named_paths(shifts, "shifts")
    names = [name for name in folder.prediction_names() if name not in HELD_OUT]
    if not names:
        raise DataError(f"{folder.root}: there are no predictions; train and predict first")
    for name in shifts:
        folder.metrics(name)  # a name that cannot be a file's is refused before any work
    files = {name: folder.predictions(name) for name in names}
    if taken := sorted(set(files) & set(shifts)):
        raise DataError(f"--shift {taken[0]}: the run has predicted a set of that name; name the file's otherwise")
    with folder.owned("evaluate"):
        held_out_as = _own_calibration(folder)
        held_out = folder.predictions(held_out_as)
        folder.check_knows([*files.values(), held_out])
        own = {name: load_predictions(path) for name, path in files.items()}
        split = _load_calibration(calibration or (held_out if folder.has(held_out) else None))
        own_split = {} if split is None or calibration is not None else {held_out_as: split}
        check_fresh(folder, {**own, **own_split}, seeds=seeds)
        if posterior := posterior_of(folder.record()):
            warn_of_few(folder.root, posterior)
        evaluations = evaluate_sets(
            {**own, **{name: load_predictions(path) for name, path in shifts.items()}},
            calibration=split,
            compared=VALIDATION in files,
            shifted={*shifts, *declared},
            draws=draws,
            seed=seed,
        )
        evaluations |= {name: _with_run(evaluations[name], folder, name) for name in own}
        _write(folder, evaluations, read=files | ({held_out_as: held_out} if own_split else {}))
    return evaluations


def _own_calibration(folder: RunFolder) -> str:
    """Return the name of the set that a run calibrates on: a split, or else the rows that members left out."""
    out_of_bag = folder.predictions(OUT_OF_BAG)
    return OUT_OF_BAG if not folder.has(folder.predictions(CALIBRATION)) and folder.has(out_of_bag) else CALIBRATION


def _with_run(evaluation: Evaluation, folder: RunFolder, name: str) -> Evaluation:
    """Return the evaluation of a run's own set with what the run tells of how its predictions came about."""
    metrics, known = evaluation.metrics, known_of_run(folder, name, evaluation.predictions.origin)
    if metrics.protocol is None or not known:
        return evaluation
    return replace(evaluation, metrics=with_protocol(metrics, replace(metrics.protocol, **known)))


def _write(folder: RunFolder, evaluations: Mapping[str, Evaluation], *, read: Mapping[str, Path] | None = None) -> None:
    """Write an evaluation as one change of a folder; `read` are the predictions in it that it was made of, by name."""
    with folder.change() as change:
        make_room(folder, evaluations, change)
        new, read = RunFolder(change.root), read or {}
        fitted = next(iter(evaluations.values())).fitted
        if fitted is not None:
            _with_earlier_promises(folder, fitted).write(new.decision)
            split = [path for key, path in read.items() if key not in evaluations]
            change.binds(folder.decision, folder.digests(split))
        else:
            change.remove(folder.decision)  # that of an earlier evaluation does not go with these metrics
        if not folder.manifest.exists():  # predictions of others: what was evaluated is recorded, too
            for path in read.values():
                change.adopt(path)
        decision = {} if fitted is None else {folder.decision.name: sha256_of(new.decision)}
        for name, evaluation in evaluations.items():
            write_uncertainty(new.uncertainty(name), evaluation.predictions, evaluation.uncertainty)
            write_scores(new.scores(name), evaluation.predictions, evaluation.uncertainty)
            write_metrics(new.metrics(name), evaluation.metrics)
            own = folder.digests([path for key, path in read.items() if key == name])
            change.binds(folder.uncertainty(name), own)
            change.binds(folder.scores(name), own)
            change.binds(folder.metrics(name), {**folder.digests(read.values()), **decision})  # sets are compared


def _with_earlier_promises(folder: RunFolder, fitted: Fitted) -> Fitted:
    """Return what was fitted with the certificates that were made of the same rows and members; warn of the others."""
    try:
        earlier = Fitted.read(folder.decision) if folder.has(folder.decision) else None
    except IntegrityError:  # it is torn, or of an earlier version: it is written anew, as the message of a reader says
        return fitted
    if earlier is None:
        return fitted
    if earlier.is_same_fit(fitted):
        return replace(fitted, certificates=earlier.certificates)
    earlier.warn_of_lost_promises(folder.decision)
    return fitted


def _load_calibration(path: AnyPath | None) -> Predictions | None:
    return None if path is None else load_predictions(as_path(path, "calibration"))
