"""What pooling gains: the ensemble against each of its members."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.metrics import Metric
from ensemble_uq_llm.evaluation.quality.true_error import ErrorLaw, compare_errors
from ensemble_uq_llm.evaluation.records import Gain, Mean, MemberMetrics
from ensemble_uq_llm.evaluation.uncertainty import log_mean_exp
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate
from ensemble_uq_llm.statistics.statistic import Family, family_of
from ensemble_uq_llm.statistics.ties import snapped

OfPredictor: TypeAlias = tuple[str, MemberId | None]
"""A metric's name, and of whom it is: of a member, or (None) of the ensemble."""


def gain_family(
    log_probs_MNC: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    members: Sequence[MemberId],
    metrics: Sequence[Metric],
) -> Family[OfPredictor]:
    """Return every metric of the ensemble and of each member, as a family that shares sums and rankings."""
    predictors: dict[MemberId | None, NDArray[np.float64]] = {None: log_mean_exp(log_probs_MNC)}
    predictors |= dict(zip(members, log_probs_MNC, strict=True))
    return family_of(
        {
            (metric.name, whose): metric.statistic(log_probs_NC, labels_N)
            for metric in metrics
            for whose, log_probs_NC in predictors.items()
        }
    )


def member_metrics(
    resampled: Resampled[OfPredictor], members: Sequence[MemberId], metrics: Sequence[Metric]
) -> tuple[MemberMetrics, ...]:
    """Return the metrics of each member, from the numbers of `gain_family`."""
    return tuple(
        MemberMetrics(member=member, metrics={metric.name: _estimate(resampled, metric, member) for metric in metrics})
        for member in members
    )


def _estimate(resampled: Resampled[OfPredictor], metric: Metric, member: MemberId) -> Estimate:
    estimate = resampled.estimate((metric.name, member), centred=metric.centred)
    if metric.name == "accuracy" and estimate.ci95 and estimate.value in (0.0, 1.0):
        # As that of the ensemble (`predictor`): no resampling of answers that are all right contains a wrong one.
        exact = clopper_pearson(round(estimate.value * resampled.examples), resampled.examples)
        return replace(estimate, ci95=exact)
    return estimate


def members_mean(
    resampled: Resampled[OfPredictor], members: Sequence[MemberId], metrics: Sequence[Metric]
) -> dict[str, Mean]:
    """Return the mean of the members' values by metric, from the numbers of `gain_family`."""
    values = {metric.name: [resampled.values[metric.name, member] for member in members] for metric in metrics}
    means = {name: np.sort(values_M).mean() for name, values_M in values.items()}
    return {name: Mean(value=None if np.isnan(mean) else float(mean)) for name, mean in means.items()}


def gains(
    resampled: Resampled[OfPredictor],
    members: Sequence[MemberId],
    metrics: Sequence[Metric],
    errors: Mapping[Any, Mapping[str, ErrorLaw]],
    *,
    unlike_MN: NDArray[np.bool_] | None = None,
) -> dict[str, Gain]:
    """Return by metric what the ensemble gains over a single member, paired draw by draw.

    `over_mean`: over the mean of the members' values: what pooling adds to picking a member blindly.
    `over_best`: over `best_member`, the best on these very labels. That choice flatters the member,
    so this gain is a lower bound of that over a member chosen on other examples. Both are the
    ensemble's value minus the other: above 0 is a gain where higher is better, below 0 where lower is.
    Calibration errors are compared as true errors, which noise does not raise, and that the best member was chosen
    as the best is accounted for there.

    Args:
        resampled: the numbers of `gain_family`.
        members: the members, in their order.
        metrics: the metrics of the family that are to be compared.
        errors: the laws of calibration errors, of every member and (None) of the ensemble; none without draws.
        unlike_MN: which examples one of ensemble and member answers correctly and the other does not: on these alone
            a difference in accuracy hangs. None as if on all.
    """
    records = {}
    for metric in metrics:
        values_M = np.array([resampled.values[metric.name, member] for member in members])
        draws_MD = np.stack([resampled.draws_D[metric.name, member] for member in members])
        ours, draws_D = resampled.values[metric.name, None], resampled.draws_D[metric.name, None]
        ranked_M = snapped(values_M if metric.higher_is_better else -values_M)
        by_name = sorted(range(len(members)), key=members.__getitem__)
        best = by_name[int(np.argmax(ranked_M[by_name]))]  # of members that tie the first by name
        of_mean, of_best = None, None
        if metric.name == "accuracy" and unlike_MN is not None:
            of_mean, of_best = int(unlike_MN.any(axis=0).sum()), int(unlike_MN[best].sum())
        mean = (float(np.sort(values_M).mean()), np.sort(draws_MD, axis=0).mean(axis=0))
        over_mean = compare(ours, draws_D, *mean, examples=resampled.examples, differing=of_mean)
        over_best = compare(
            *(ours, draws_D, float(values_M[best]), draws_MD[best]), examples=resampled.examples, differing=of_best
        )
        if metric.summed is not None:
            over_mean, over_best = _error_gains(metric.name, members, errors)
        records[metric.name] = Gain(
            over_mean=over_mean,
            over_best=over_best,
            best_member=None if np.isnan(values_M[best]) else members[best],
        )
    return records


def _error_gains(
    name: str, members: Sequence[MemberId], errors: Mapping[Any, Mapping[str, ErrorLaw]]
) -> tuple[Comparison, Comparison]:
    """Return the gains in a calibration error over the mean member and over the best."""
    if name not in errors.get(None, {}):
        unknown = Comparison(value=None, ci95=None, p_value=None)
        return unknown, unknown
    ours, theirs = errors[None][name], [errors[member][name] for member in members]
    return compare_errors(ours, ErrorLaw.mean_of(theirs)), compare_errors(ours, ErrorLaw.least_of(theirs))
