"""Certificates of abstention fitted on a run's calibration split or on a file, and written into a `decision.json`."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import By, Certificate, KeptPromise
from ensemble_uq_llm.evaluation.decisions.abstention.certify import certify, check_promise
from ensemble_uq_llm.evaluation.decisions.abstention.kept import judge_certificate
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import LabelledScores, labelled_scores
from ensemble_uq_llm.evaluation.decisions.abstention.power import PowerCurve, power_curve
from ensemble_uq_llm.evaluation.decisions.disjoint import without_test_examples
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted, fit_decisions
from ensemble_uq_llm.evaluation.scores import BASELINE
from ensemble_uq_llm.predictions.foreign.group_column import read_groups
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.predictions.freshness import check_fresh
from ensemble_uq_llm.predictions.ordering import in_order, members_by_identity
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_members
from ensemble_uq_llm.run_folder import CALIBRATION, HELD_OUT, OUT_OF_BAG, VALIDATION, RunFolder
from ensemble_uq_llm.samples.posterior_record import has_looked_at
from ensemble_uq_llm.statistics.bootstrap import DRAWS
from ensemble_uq_llm.storage.manifest import Manifest, read_manifest
from ensemble_uq_llm.storage.places import check_can_be_written
from ensemble_uq_llm.utils.files import AnyPath, as_path, sha256_of
from ensemble_uq_llm.utils.text import as_word


@dataclass(frozen=True, kw_only=True)
class PromiseAsked:
    """What is to be promised, and of what rows."""

    target_risk: float
    confidence: float = 0.9
    score: str = BASELINE
    by_class: bool = False
    group: str | None = None
    """A column whose values are certified apart."""
    group_file: AnyPath | None = None
    """Where it stands; in the file of predictions itself where this is None."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_promise(self.target_risk, self.confidence)
        if self.by_class and self.group is not None:
            raise ConfigError(
                f"--by-class and --group {self.group}: rows are certified apart by one of them; call twice for both"
            )
        if self.group is None and self.group_file is not None:
            raise ConfigError(f"--group-file {self.group_file}: say with --group which of its columns is meant")

    @property
    def by(self) -> By:
        """What rows are certified apart by."""
        return "class" if self.by_class else "all" if self.group is None else "group"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A certificate, how it does where it was judged, and what more rows would give where it certifies nothing."""

    certificate: Certificate
    kept: tuple[KeptPromise, ...] = ()
    """On the evaluation split, where there is one with labels."""
    power: PowerCurve | None = None
    """Where nothing could be certified of all rows together."""
    written: Path | None = None
    """The `decision.json` that holds the certificate, if any."""


def decide_file(
    path: AnyPath,
    asked: PromiseAsked,
    *,
    output: AnyPath | None = None,
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
) -> Decided:
    """Fit a certificate on the labelled rows of a file of predictions, all of which are taken as calibration rows.

    Args:
        path: predictions in any form that `load_predictions` reads.
        asked: the promise.
        output: where `decision.json` is written, if anywhere; what else was promised there of the same rows stays.
        columns: what the file calls our columns.
        classes: the names of the classes.

    Raises:
        DataError: the file cannot be used. ConfigError: there is no such score, or the output is a run's folder, or
            holds metrics of what was fitted on other rows.
    """
    path = as_path(path, "path")
    folder = None if output is None else RunFolder(as_path(output, "output"))
    if folder is not None:
        check_can_be_written(folder.root)
        _check_is_no_run(folder)
    predictions = in_order(members_by_identity(load_predictions(path, columns=columns, classes=classes)))[0]
    groups = None if asked.group is None else _groups_of_file(path, asked, columns)
    decided = _decide(predictions, None, asked, groups)
    if folder is None:
        return decided
    with folder.owned("decide"):
        return _written(folder, decided, predictions, sources=[], draws=DRAWS, seed=asked.seed)


def _groups_of_file(path: Path, asked: PromiseAsked, columns: Mapping[str, str] | None) -> Mapping[str, str]:
    apart = asked.group_file is not None
    return read_groups(asked.group_file or path, str(asked.group), columns=columns, apart=apart)


def decide_run(
    run: AnyPath,
    asked: PromiseAsked,
    *,
    output: AnyPath | None = None,
    seeds: Sequence[int] | None = None,
    draws: int = DRAWS,
) -> Decided:
    """Fit a certificate on a run's calibration split, judge it on the evaluation split, and add it to `decision.json`.

    Args:
        run: the run, or the path of its folder.
        asked: the promise.
        output: another folder for the `decision.json`.
        seeds: whose members must have predicted the split; those of the run's configuration without.
        draws: of the bootstrap that chooses the score in the rest of `decision.json`, where it is not there yet.

    Raises:
        DataError: the calibration split has not been predicted, or by other members than those that the run has now.
        ConfigError: as `decide_file`.
    """
    folder = RunFolder(as_path(run, "run"))
    target = folder if output is None else RunFolder(as_path(output, "output"))
    if target is not folder:
        check_can_be_written(target.root)
        _check_is_no_run(target)
    if asked.group is not None and asked.group_file is None:
        raise ConfigError(
            f"--group {asked.group}: a run's predictions have no such column; name a table that has it and the "
            "examples' ids with --group-file"
        )
    with folder.owned("decide"):
        calibration, test = _splits_of(folder, seeds)
        _warn_of_rows_that_chose(folder, calibration)
        groups = None if asked.group_file is None else read_groups(asked.group_file, str(asked.group), apart=True)
        decided = _decide(calibration, test, asked, groups)
        sources = [folder.predictions(CALIBRATION)] if target is folder else []
        with target.owned("decide"):
            return _written(target, decided, calibration, sources=sources, draws=draws, seed=asked.seed)


def _splits_of(folder: RunFolder, seeds: Sequence[int] | None) -> tuple[Predictions, Predictions | None]:
    """Return the predictions of the calibration split, as an evaluation takes it, and of the set that it is beside."""
    held_out = folder.predictions(CALIBRATION)
    names = [name for name in folder.prediction_names() if name not in HELD_OUT]
    if not folder.has(held_out):
        instead = " (rows out of bags carry no promise)" if folder.has(folder.predictions(OUT_OF_BAG)) else ""
        raise DataError(
            f"{folder.root}: there are no predictions of a calibration split, on which a promise is fitted{instead}; "
            "predict it "
            f"with `ensemble-uq predict {as_word(folder)} --data {CALIBRATION}` where calibration_fraction has held "
            "one out of the training data, or name a file of labelled predictions by the same members on other rows"
        )
    files = {name: folder.predictions(name) for name in (*names[:1], CALIBRATION)}
    folder.check_knows(files.values())
    own = {name: load_predictions(path) for name, path in files.items()}
    check_fresh(folder, own, seeds=seeds)
    ordered = {name: in_order(predictions)[0] for name, predictions in own.items()}
    calibration = ordered.pop(CALIBRATION)
    main = next(iter(ordered.values()), None)
    if main is None:
        return calibration, None
    calibration = of_members(calibration, main.members, name="the calibration set", others="the test set")
    return without_test_examples(calibration, main), main if VALIDATION in ordered else None


def _warn_of_rows_that_chose(folder: RunFolder, calibration: Predictions) -> None:
    """Warn where the promise is not to the letter, as the samples' maker has chosen something by the same rows."""
    if calibration.origin is not None and has_looked_at(folder, calibration.origin.data):
        warnings.warn(
            f"{folder.root}: the maker of these samples has chosen a number for each member by the calibration split, "
            "so that the split's rows are not as good as new and the promise is not to the letter; where it is to be, "
            "decide on labelled predictions of other rows",
            stacklevel=3,
        )


def _decide(
    calibration: Predictions, test: Predictions | None, asked: PromiseAsked, groups: Mapping[str, str] | None
) -> Decided:
    labelled = labelled_scores(calibration, by=asked.by, groups=groups, column=asked.group)
    certificate = certify(
        labelled,
        target_risk=asked.target_risk,
        confidence=asked.confidence,
        score=asked.score,
        seed=asked.seed,
    )
    is_judged = test is not None and test.labelled_N.any() and asked.by != "group"
    return Decided(
        certificate=certificate,
        kept=judge_certificate(certificate, labelled_scores(test, by=asked.by)) if test and is_judged else (),
        power=_power(certificate, labelled, asked) if certificate.by == "all" and not certificate.answered else None,
    )


def _power(certificate: Certificate, labelled: LabelledScores, asked: PromiseAsked) -> PowerCurve:
    return power_curve(
        labelled.scores[certificate.score],
        labelled.wrong_N,
        target_risk=asked.target_risk,
        delta=(1 - asked.confidence) / certificate.scores_tried,
        seed=asked.seed,
    )


def _written(
    folder: RunFolder,
    decided: Decided,
    calibration: Predictions,
    *,
    sources: Sequence[Path],
    draws: int,
    seed: int,
) -> Decided:
    """Add the certificate to the folder's `decision.json`, which is made where it is not there, and say so."""
    there = Fitted.read(folder.decision) if folder.has(folder.decision) else None
    bound = _made_from_decision(folder)
    if there is not None and not there.is_of(calibration):
        if bound:
            raise ConfigError(
                f"{folder.decision}: fitted on other rows or members than these, and the metrics beside it go with it; "
                f"evaluate again first (ensemble-uq evaluate {_evaluated(folder)}), or name another --output"
            )
        there.warn_of_lost_promises(folder.decision)
        there = None
    if there is None:
        rng = np.random.default_rng(seed)
        there = fit_decisions(calibration, name=CALIBRATION, rng=rng, draws=draws, seed=seed)
    with folder.change() as change:
        new = RunFolder(change.root)
        there.with_certificate(decided.certificate).write(new.decision)
        if sources and not folder.manifest.exists():  # predictions of others: what lies here is recorded, too
            for name in folder.prediction_names():
                change.adopt(folder.predictions(name))
        change.binds(folder.decision, folder.digests(sources))
        digest = sha256_of(new.decision)
        for path, made_from in bound.items():  # metrics are of the parts of it that have stayed
            folder.read(path)
            change.adopt(path)
            change.binds(path, {**made_from, folder.decision.name: digest})
    return replace(decided, written=folder.decision)


def _evaluated(folder: RunFolder) -> str:
    """Return the words after `ensemble-uq evaluate` that write a folder's metrics anew."""
    if folder.is_run():
        return as_word(folder)
    return f"FILE --calibration THIS_FILE --output {as_word(folder)}"


def _made_from_decision(folder: RunFolder) -> dict[Path, Mapping[str, str]]:
    """Return the files that were made from the folder's present `decision.json`, and what each was made from."""
    files = (read_manifest(folder.root) or Manifest()).current
    own = files.get(folder.decision.name)
    return {
        folder.root / name: entry.made_from
        for name, entry in files.items()
        if own is not None and entry.made_from.get(folder.decision.name) == own.sha256
    }


def _check_is_no_run(folder: RunFolder) -> None:
    if folder.is_run():
        raise ConfigError(
            f"--output {folder.root}: the folder of a run, which holds what was decided for its own members; name "
            "another folder (a run's own certificate is written into it without --output)"
        )
