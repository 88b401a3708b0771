"""How good one predictor is: every metric's estimate, the errors beside their noise floors, and what has changed."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from ensemble_uq_llm.evaluation.quality.calibration import LogProbs
from ensemble_uq_llm.evaluation.quality.metrics import CENTRED, METRICS, metrics_for
from ensemble_uq_llm.evaluation.quality.noise_floor import noise_floor
from ensemble_uq_llm.evaluation.quality.true_error import ErrorLaw, compare_errors
from ensemble_uq_llm.evaluation.records import MetricEstimate
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.significance import sign_flip_limit

_SUMMED: Final = frozenset(metric.name for metric in METRICS if metric.summed is not None)


def quality_estimates(
    log_probs_NC: LogProbs, resampled: Resampled[str], errors: Mapping[str, ErrorLaw], *, draws: int, seed: int
) -> dict[str, MetricEstimate]:
    """Return every metric's estimate, and beside a calibration error its noise floor and the true error.

    Args:
        log_probs_NC: the predictor's log-probabilities of the labelled examples.
        resampled: the numbers of its `quality_family`, or some of them and others.
        errors: the laws of its calibration errors.
        draws: of the noise floors' labels.
        seed: of the noise floors' labels.
    """
    examples, classes = log_probs_NC.shape
    makers = {
        metric.name: metric.calibration(log_probs_NC)
        for metric in metrics_for(classes)
        if metric.calibration is not None and metric.name in resampled.values
    }
    floors = noise_floor(log_probs_NC, makers, draws=draws, seed=seed)
    estimates = {
        name: MetricEstimate(
            **asdict(estimate),
            noise_floor=floors[name].beside(resampled.values[name], examples=examples) if name in floors else None,
            debiased=errors[name].estimate() if name in errors else None,
        )
        for name, estimate in resampled.estimates(centred=CENTRED).items()
    }
    accuracy = estimates["accuracy"]
    if accuracy.ci95 and accuracy.value in (0.0, 1.0):
        # No resampling of answers that are all right contains a wrong one: the interval is the exact one.
        exact = clopper_pearson(round(accuracy.value * examples), examples)
        estimates["accuracy"] = replace(accuracy, ci95=exact)
    return estimates


def quality_changes(
    after: Resampled[str],
    before: Resampled[str],
    errors_after: Mapping[str, ErrorLaw],
    errors_before: Mapping[str, ErrorLaw],
    *,
    paired: bool,
    differing: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Comparison]:
    """Return by metric how much it has changed, for the metrics that both have.

    Calibration errors are compared as true errors. Of what noise raises and nothing frees of it (the largest gap, the
    resolution) there is the difference alone, without interval and p-value.

    Args:
        after: the numbers after.
        before: the numbers before.
        errors_after: the laws of the calibration errors after.
        errors_before: those before.
        paired: whether both are of the same examples; else their draws are made independent.
        differing: by metric how many paired examples differ at all, where not all do (see `compare`).
    """
    before = before if paired else unpaired(before)
    changes = {}
    for name in after.values:
        if name not in before.values:
            continue
        if name in _SUMMED:
            both = name in errors_after and name in errors_before
            changes[name] = (
                _bounded(compare_errors(errors_after[name], errors_before[name], paired=paired), differing.get(name))
                if both
                else Comparison(value=None, ci95=None, p_value=None)
            )
        else:
            change = compare(
                *(after.values[name], after.draws_D[name], before.values[name], before.draws_D[name]),
                examples=min(after.examples, before.examples),
                differing=differing.get(name),
            )
            changes[name] = replace(change, ci95=None, p_value=None, at_floor=False) if name in CENTRED else change
    return changes


def _bounded(change: Comparison, differing: int | None) -> Comparison:
    """Return a change with no smaller p-value than so many differing examples can show."""
    limit = 0.0 if differing is None else sign_flip_limit(differing)
    if change.p_value is None or change.p_value >= limit:
        return change
    return replace(change, p_value=limit, at_floor=False)


def unpaired(resampled: Resampled[str]) -> Resampled[str]:
    """Return the draws moved on by one, so that those of equal number come from different resamplings."""
    return Resampled(
        values=resampled.values,
        draws_D={name: np.roll(draws_D, 1) for name, draws_D in resampled.draws_D.items()},
        examples=resampled.examples,
    )
