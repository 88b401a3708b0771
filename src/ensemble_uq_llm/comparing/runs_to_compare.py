"""What is read of a run, or of anybody's predictions, to compare it with others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ensemble_uq_llm.commands.targets import predicted_set
from ensemble_uq_llm.comparing.compared_names import names_of
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.run_folder import CALIBRATION, VALIDATION, RunFolder
from ensemble_uq_llm.utils.files import AnyPath, as_path
from ensemble_uq_llm.utils.text import clipped

if TYPE_CHECKING:
    from ensemble_uq_llm.evaluation.beside.compared_run import ComparedRun
    from ensemble_uq_llm.evaluation.records import RunComparison, RunsBeside
    from ensemble_uq_llm.predictions.record import Predictions

Comparable: TypeAlias = "Predictions | AnyPath"
"""Predictions, a file of them of any origin, or a run (folder)."""


def compare_runs(
    runs: Sequence[Comparable],
    *,
    name: str = VALIDATION,
    shifts: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> "RunsBeside":
    """Put 2 to 20 runs beside each other on the examples of all, and compare each with the first.

    Args:
        runs: predictions, files of them, or runs (folders), as of `compare`; the baseline first.
        name: the predicted set to compare, of runs.
        shifts: predicted sets of runs that are taken for shifted, beside those that their data set declares.
        columns: what files call our columns, as of `load_predictions`.
        classes: the names of the classes, as of `load_predictions`.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ConfigError: too few runs, or too many. DataError: a file cannot be used, or no labelled example is in all.
    """
    from ensemble_uq_llm.evaluation.beside.many_runs import compare_many
    from ensemble_uq_llm.statistics.bootstrap import DRAWS

    sides = read_runs(runs, name=name, shifts=shifts, columns=columns, classes=classes)
    return compare_many(sides, draws=DRAWS if draws is None else draws, seed=seed)


def read_runs(
    runs: Sequence[Comparable],
    *,
    name: str,
    shifts: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
) -> "list[ComparedRun]":
    """Read several runs, each by a name that tells it from the others; see `read_run`.

    Raises:
        ConfigError, DataError, IntegrityError: one cannot be used, a shifted set that is asked for is in none of them,
            or runs are too few or too many.
    """
    from ensemble_uq_llm.evaluation.beside.many_runs import check_count
    from ensemble_uq_llm.evaluation.decisions.disjoint import check_none_was_trained_on
    from ensemble_uq_llm.predictions.record import Predictions

    check_count(len(runs))
    paths = [
        Path(f"predictions {at}") if isinstance(each, Predictions) else as_path(each, "compare")
        for at, each in enumerate(runs, start=1)
    ]
    how: dict[str, Any] = {"name": name, "shifts": shifts, "columns": columns, "classes": classes}
    read = [read_run(each, called, **how) for each, called in zip(runs, names_of(paths), strict=True)]
    for run in read:
        check_none_was_trained_on({run.name: run.predictions, **run.shifted})
    for each in shifts:
        if not any(each in run.shifted for run in read):
            raise DataError(
                f"--shift {clipped(each)}: no run has predicted such a set; predict it with each of them "
                f"(ensemble-uq predict RUN --data FILE --name NAME), or leave it out"
            )
    return read


def compare_pair(a: "ComparedRun", b: "ComparedRun", *, draws: int, seed: int) -> "RunComparison":
    """Compare two runs by every metric, with how the numbers of both came about.

    Raises:
        ConfigError, DataError: as `compare_predictions`.
    """
    from ensemble_uq_llm.evaluation.comparison import compare_predictions
    from ensemble_uq_llm.evaluation.protocol.protocols_beside import protocols_beside

    result = compare_predictions(a.predictions, b.predictions, draws=draws, seed=seed)
    return replace(result, protocols=protocols_beside(a.protocol, b.protocol))


def read_run(
    what: Comparable,
    called: str,
    *,
    name: str,
    shifts: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
) -> "ComparedRun":
    """Read what is to stand beside others.

    Of a run that is the set, the calibration split, and the shifted sets that it has predicted: those that its data set
    declares to be shifted, and those that are asked for.

    Args:
        what: predictions, a file, or a run.
        called: what the run is called in the tables.
        name: the predicted set to compare, of runs.
        shifts: predicted sets of runs that are taken for shifted, too.
        columns: what files call our columns, as of `load_predictions`.
        classes: the names of the classes, as of `load_predictions`.

    Raises:
        ConfigError, DataError, IntegrityError: it cannot be used.
    """
    from ensemble_uq_llm.evaluation.beside.compared_run import ComparedRun
    from ensemble_uq_llm.evaluation.beside.facts_of_run import cautions_of_few
    from ensemble_uq_llm.predictions.foreign_tables import load_predictions
    from ensemble_uq_llm.predictions.record import Predictions

    if isinstance(what, Predictions):
        run = ComparedRun.of(called, what)
    else:
        path = as_path(what, "compare")
        if path.is_dir():
            return _read_folder(RunFolder(path), called, name=name, shifts=shifts)
        run = ComparedRun.of(called, load_predictions(path, columns=columns, classes=classes))
        run = replace(run, facts=replace(run.facts, path=str(path)))
    return replace(run, cautions=tuple(cautions_of_few(run.facts.passes)))


def _read_folder(folder: RunFolder, called: str, *, name: str, shifts: Sequence[str]) -> "ComparedRun":
    from ensemble_uq_llm.evaluation.beside.compared_run import ComparedRun
    from ensemble_uq_llm.evaluation.beside.facts_of_run import cautions_of_run, facts_of_run
    from ensemble_uq_llm.evaluation.protocol.known_of_predictions import known_of_predictions
    from ensemble_uq_llm.evaluation.protocol.known_of_run import known_of_run
    from ensemble_uq_llm.predictions.foreign_tables import load_predictions
    from ensemble_uq_llm.predictions.freshness import check_fresh

    folder.predictions(name)  # what cannot be a name is another error than a set that is not there
    sets = {name: load_predictions(predicted_set(folder, name))}
    others = [CALIBRATION, *_shifted(folder, shifts)]
    sets |= {
        each: load_predictions(predicted_set(folder, each))
        for each in others
        if each != name and each in folder.prediction_names()
    }
    check_fresh(folder, sets)
    predictions, split = sets[name], _split(sets, name)
    rows = 0 if split is None else int(split.labelled_N.sum())
    protocol = known_of_predictions(predictions, calibration_rows=rows)
    protocol = replace(protocol, **known_of_run(folder, name, predictions.origin))
    facts = facts_of_run(called, folder, predictions, protocol)
    return ComparedRun(
        facts=facts,
        predictions=predictions,
        protocol=protocol,
        split=split,
        shifted={each: _alike(sets[each], sets[name], each) for each in others[1:] if each in sets and each != name},
        cautions=tuple(cautions_of_run(folder, facts)),
    )


def _shifted(folder: RunFolder, asked: Sequence[str]) -> list[str]:
    from ensemble_uq_llm.config_file import load_config
    from ensemble_uq_llm.data.datasets import declared_shifts

    declared = declared_shifts(load_config(folder.root)) if folder.config.is_file() else ()
    return [each for each in dict.fromkeys((*declared, *asked)) if each != CALIBRATION]


def _split(sets: "Mapping[str, Predictions]", name: str) -> "Predictions | None":
    """Return the calibration split without what is compared; None where nothing of it is left, or it is compared."""
    from ensemble_uq_llm.evaluation.decisions.disjoint import without_test_examples

    if name == CALIBRATION or CALIBRATION not in sets:
        return None
    split = without_test_examples(_alike(sets[CALIBRATION], sets[name], CALIBRATION), sets[name])
    return split if split.labelled_N.any() else None


def _alike(other: "Predictions", predictions: "Predictions", name: str) -> "Predictions":
    """Return another set by the same members, in the same order."""
    from ensemble_uq_llm.predictions.selection import of_members

    return of_members(other, predictions.members, name=f"set {name!r}", others="the compared set")
