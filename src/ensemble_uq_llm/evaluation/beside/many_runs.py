"""Several runs beside each other: every number on the same examples, and every difference from a baseline, paired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.beside.after_temperature import after_folds, after_split, folds
from ensemble_uq_llm.evaluation.beside.cautions import cautions_of_table
from ensemble_uq_llm.evaluation.beside.common_rows import CommonRows, common_rows
from ensemble_uq_llm.evaluation.beside.compared_run import ComparedRun
from ensemble_uq_llm.evaluation.beside.holm_by_metric import adjusted_by_metric
from ensemble_uq_llm.evaluation.beside.quantities import of_one_member, quality_of
from ensemble_uq_llm.evaluation.beside.shifts_beside import OfShifts, measure_shifts
from ensemble_uq_llm.evaluation.protocol.protocols_beside import protocols_beside
from ensemble_uq_llm.evaluation.quality import residual_sums
from ensemble_uq_llm.evaluation.quality.predictor import quality_changes, quality_estimates
from ensemble_uq_llm.evaluation.quality.true_error import error_laws
from ensemble_uq_llm.evaluation.records import Fitting, MetricEstimate, RunBeside, RunsBeside
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, measure_uncertainty
from ensemble_uq_llm.statistics.bootstrap import DRAWS, check_resampling, resample_together
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.utils.text import counted, listed

MOST_RUNS = 20
"""So many runs a table holds at most: with more, p-values adjusted for them tell nothing from a thousand draws."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _OnCommonRows:
    """A run on the labelled examples of all."""

    logits_MNC: NDArray[np.floating]
    uncertainty: Uncertainty
    after_NC: NDArray[np.float64] | None
    of_members_MNC: list[NDArray[np.float64]] | None
    """Every member's log-probabilities after its own temperature."""


def compare_many(runs: Sequence[ComparedRun], *, draws: int = DRAWS, seed: int = 0) -> RunsBeside:
    """Measure several runs on the examples that all predicted, and compare each with the first, the baseline.

    Differences are paired, draw by draw. Their p-values are adjusted (Holm) for the runs, each metric by itself: of all
    that is said of one metric, chance says anything in at most one case of twenty. `nll_after_temperature` is that of
    one temperature on the pooled probability, from the calibration splits where every run has one, and else
    cross-fitted.

    Args:
        runs: 2 to 20, the baseline first.
        draws: of the bootstrap.
        seed: of the bootstrap, and of the folds.

    Raises:
        ConfigError: too few runs or too many, two of one name, or draws or seed no whole number of at least 0.
        DataError: the runs have other classes or options, or no labelled example is in all of them.
    """
    check_resampling(draws=draws, seed=seed)
    by_name = _by_name(runs)
    common = common_rows({name: run.predictions for name, run in by_name.items()})
    if not common.labelled_N.any():
        raise DataError(f"no example that all of {listed(by_name)} have has a label; compare labelled predictions")
    labels_N = common.labels_N[common.labelled_N]
    fitting, fold_N = _fitting(runs, labels_N, seed=seed)
    sides = {name: _on_common_rows(run, common, fitting, fold_N) for name, run in by_name.items()}
    estimates, changes = _quality(sides, labels_N, draws=draws, seed=seed)
    shifts = measure_shifts(by_name, common, draws=draws, seed=seed)
    differences = adjusted_by_metric(
        {name: changes[name] | shifts.differences.get(name, {}) for name in changes}, shifts.sizes
    )
    warnings = cautions_of_table(runs, fitting, sets=shifts.sizes, draws=draws)
    return RunsBeside(
        n=len(labels_N),
        classes=runs[0].predictions.logits_MNC.shape[2],
        draws=draws,
        shifted=shifts.sizes,
        temperature=fitting,
        warnings=(*common.warnings, *shifts.warnings, *warnings),
        runs=tuple(
            RunBeside(
                facts=run.facts,
                calibration_rows=run.calibration_rows,
                metrics=estimates[name] | shifts.estimates.get(name, {}),
                one_member=_one_member(sides[name], labels_N, shifts, name),
                differences=differences.get(name, {}),
                protocols=protocols_beside(runs[0].protocol, run.protocol),
                cautions=run.cautions,
            )
            for name, run in by_name.items()
        ),
    )


def check_count(runs: int) -> None:
    """Raise ConfigError where there are too few runs to compare, or too many."""
    if not 2 <= runs <= MOST_RUNS:
        raise ConfigError(f"compare: {counted(runs, 'run')} given; name 2 to {MOST_RUNS}")


def _by_name(runs: Sequence[ComparedRun]) -> dict[str, ComparedRun]:
    check_count(len(runs))
    by_name = {run.name: run for run in runs}
    if len(by_name) < len(runs):
        raise ConfigError(f"compare: {listed(run.name for run in runs)}: two have one name; give each its own")
    return by_name


def _fitting(
    runs: Sequence[ComparedRun], labels_N: NDArray[np.int64], *, seed: int
) -> tuple[Fitting | None, NDArray[np.int64] | None]:
    """Return on what all temperatures are fitted, the same for every run, and the folds."""
    if all(run.calibration_rows for run in runs):
        return "calibration split", None
    fold_N = folds(len(labels_N), seed=seed)
    return (None if fold_N is None else "cross-fitted"), fold_N


def _on_common_rows(
    run: ComparedRun, common: CommonRows, fitting: Fitting | None, fold_N: NDArray[np.int64] | None
) -> _OnCommonRows:
    labels_N = common.labels_N[common.labelled_N]
    logits_MNC = run.predictions.logits_MNC[:, common.rows_N[run.name][common.labelled_N]]
    members = range(len(logits_MNC))
    after_NC: NDArray[np.float64] | None = None
    of_members: list[NDArray[np.float64]] | None = None
    if fitting == "calibration split" and run.split is not None:
        after_NC = after_split(logits_MNC, run.split, member=None)
        of_members = [after_split(logits_MNC, run.split, member=m) for m in members]
    elif fold_N is not None:
        after_NC = after_folds(logits_MNC, labels_N, fold_N)
        of_members = [after_folds(logits_MNC[m : m + 1], labels_N, fold_N) for m in members]
    return _OnCommonRows(
        logits_MNC=logits_MNC,
        uncertainty=measure_uncertainty(logits_MNC),
        after_NC=after_NC,
        of_members_MNC=of_members,
    )


def _quality(
    sides: Mapping[str, _OnCommonRows], labels_N: NDArray[np.int64], *, draws: int, seed: int
) -> tuple[dict[str, dict[str, MetricEstimate]], dict[str, dict[str, Comparison]]]:
    """Return by run and metric the estimates, and the differences from the first run."""
    families = {name: quality_of(side.uncertainty, labels_N, side.after_NC) for name, side in sides.items()}
    resampled = resample_together(families, sizes=[len(labels_N)], draws=draws, seed=seed)
    log_probs = {name: side.uncertainty.log_probs_NC for name, side in sides.items()}
    errors = error_laws(log_probs, labels_N, {"ece": residual_sums.ECE}, draws=draws, seed=seed)
    estimates = {
        name: quality_estimates(log_probs[name], resampled[name], errors[name], draws=draws, seed=seed)
        for name in sides
    }
    first, *others = sides
    changes = {}
    for name in others:
        ours, theirs = sides[name].uncertainty, sides[first].uncertainty
        differing = dict.fromkeys(
            resampled[name].values, int((ours.log_probs_NC != theirs.log_probs_NC).any(axis=1).sum())
        )
        right_N, other_right_N = (each.prediction_N == labels_N for each in (ours, theirs))
        differing["accuracy"] = int((right_N != other_right_N).sum())
        changes[name] = quality_changes(
            *(resampled[name], resampled[first], errors[name], errors[first]), paired=True, differing=differing
        )
    return estimates, changes


def _one_member(
    side: _OnCommonRows, labels_N: NDArray[np.int64], shifts: OfShifts, name: str
) -> dict[str, float | None]:
    if len(side.logits_MNC) == 1:
        return {}
    return of_one_member(side.logits_MNC, labels_N, side.of_members_MNC) | shifts.one_member.get(name, {})
