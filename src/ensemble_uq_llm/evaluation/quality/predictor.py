"""How good one predictor is: every metric's estimate, the errors beside their noise floors, and what has changed."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from types import MappingProxyType

import numpy as np

from ensemble_uq_llm.evaluation.quality.calibration import LogProbs
from ensemble_uq_llm.evaluation.quality.metrics import CENTRED, metrics_for
from ensemble_uq_llm.evaluation.quality.noise_floor import noise_floor
from ensemble_uq_llm.evaluation.records import MetricEstimate
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.intervals import Comparison


def quality_estimates(
    log_probs_NC: LogProbs, resampled: Resampled[str], *, draws: int, seed: int
) -> dict[str, MetricEstimate]:
    """Return every metric's estimate, and beside a calibration error its noise floor.

    Args:
        log_probs_NC: the predictor's log-probabilities of the labelled examples.
        resampled: the numbers of its `quality_family`.
        draws: of the noise floors' labels.
        seed: of the noise floors' labels.
    """
    examples, classes = log_probs_NC.shape
    errors = {
        metric.name: metric.calibration(log_probs_NC)
        for metric in metrics_for(classes)
        if metric.calibration is not None
    }
    floors = noise_floor(log_probs_NC, errors, draws=draws, seed=seed)
    estimates = {
        name: MetricEstimate(
            **asdict(estimate),
            noise_floor=floors[name].beside(resampled.values[name], examples=examples) if name in floors else None,
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
    after: Resampled[str], before: Resampled[str], *, differing: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Comparison]:
    """Return by metric how much it has changed, paired draw by draw, for the metrics that both have.

    Args:
        after: the numbers afterwards.
        before: the numbers before, or of another set.
        differing: by metric how many paired examples differ at all, where not all do (see `compare`).
    """
    after, before = after.centred(CENTRED), before.centred(CENTRED)
    return {
        name: compare(
            *(after.values[name], after.draws_D[name], before.values[name], before.draws_D[name]),
            examples=min(after.examples, before.examples),
            differing=differing.get(name),
        )
        for name in after.values
        if name in before.values
    }


def unpaired(resampled: Resampled[str]) -> Resampled[str]:
    """Return the draws moved on by one, so that those of equal number come from different resamplings."""
    return Resampled(
        values=resampled.values,
        draws_D={name: np.roll(draws_D, 1) for name, draws_D in resampled.draws_D.items()},
        examples=resampled.examples,
    )
