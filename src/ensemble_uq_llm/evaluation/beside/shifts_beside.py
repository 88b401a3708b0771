"""How well several runs tell shifted sets from the compared one: on the same examples, with paired differences."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.beside.common_rows import CommonRows, common_rows
from ensemble_uq_llm.evaluation.beside.compared_run import ComparedRun
from ensemble_uq_llm.evaluation.beside.quantities import (
    auroc_name,
    detected_by_one_member,
    detecting_scores,
    detection_of,
)
from ensemble_uq_llm.evaluation.records import MetricEstimate
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.statistics.bootstrap import compare, resample_together
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.utils.text import clipped, enumerated


@dataclass(frozen=True, kw_only=True, eq=False)
class OfShifts:
    """What shifted sets show, by run and by the names of `quantities`."""

    sizes: dict[str, int]
    """The examples of every set that all runs that have it predicted."""
    estimates: dict[str, dict[str, MetricEstimate]]
    differences: dict[str, dict[str, Comparison]]
    """From the first run; of every other that has the set, where the first has it."""
    one_member: dict[str, dict[str, float | None]]
    warnings: tuple[str, ...]


def measure_shifts(runs: Mapping[str, ComparedRun], reference: CommonRows, *, draws: int, seed: int) -> OfShifts:
    """Return what the shifted sets of any run show.

    Args:
        runs: the runs by name, the baseline first.
        reference: the compared set's examples that all have.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: runs differ in a set's classes or options, or no example of it is in all that have it.
    """
    found = OfShifts(sizes={}, estimates={}, differences={}, one_member={}, warnings=())
    warnings: list[str] = []
    for name in dict.fromkeys(name for run in runs.values() for name in run.shifted):
        having = {run: each for run, each in runs.items() if name in each.shifted}
        if lacking := [run for run in runs if run not in having]:
            warnings.append(f"set {clipped(name)} has not been predicted by {enumerated(lacking)}")
        rows = common_rows({run: each.shifted[name] for run, each in having.items()}, of=name)
        warnings += [each for each in rows.warnings if "label" not in each]  # uncertainty needs none
        found.sizes[name] = len(rows.labels_N)
        _measure(found, name, having, rows, reference, first=next(iter(runs)), draws=draws, seed=seed)
    return OfShifts(**{**vars(found), "warnings": tuple(warnings)})


def _measure(
    found: OfShifts,
    name: str,
    runs: Mapping[str, ComparedRun],
    rows: CommonRows,
    reference: CommonRows,
    *,
    first: str,
    draws: int,
    seed: int,
) -> None:
    """Put into `found` what one set shows."""
    scores: dict[str, list[dict[str, NDArray[np.float64]]]] = {}
    for run, each in runs.items():
        shifted_MNC = each.shifted[name].logits_MNC[:, rows.rows_N[run]]
        usual_MNC = each.predictions.logits_MNC[:, reference.rows_N[run]]
        sides = (measure_uncertainty(shifted_MNC), measure_uncertainty(usual_MNC))
        scores[run] = detecting_scores(*sides, members=len(usual_MNC))
        if len(usual_MNC) > 1:
            mean = detected_by_one_member(shifted_MNC, usual_MNC)
            found.one_member.setdefault(run, {})[auroc_name("entropy", name)] = mean
    sizes = [len(rows.labels_N), len(reference.labels_N)]
    families = {run: detection_of(*of_run) for run, of_run in scores.items()}
    resampled = resample_together(families, sizes=sizes, draws=draws, seed=seed)
    for run, numbers in resampled.items():
        for score in numbers.values:
            key = auroc_name(score, name)
            found.estimates.setdefault(run, {})[key] = MetricEstimate(**asdict(numbers.estimate(score)))
            if run == first or first not in resampled or score not in resampled[first].values:
                continue
            base = resampled[first]
            found.differences.setdefault(run, {})[key] = compare(
                *(numbers.values[score], numbers.draws_D[score], base.values[score], base.draws_D[score]),
                examples=numbers.examples,
                differing=sum(
                    int((ours[score] != theirs[score]).sum())
                    for ours, theirs in zip(scores[run], scores[first], strict=True)
                ),
            )
