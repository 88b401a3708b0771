"""The records of one evaluated set put together: what can be said without labels, with them, and beside other sets."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ensemble_uq_llm.evaluation.classes.by_class import measure_classes
from ensemble_uq_llm.evaluation.classes.constant_answers import measure_constant
from ensemble_uq_llm.evaluation.classes.question_options import count_options, is_choice, option_averages
from ensemble_uq_llm.evaluation.decisions import conformal
from ensemble_uq_llm.evaluation.decisions.fitted import Decisions, Fitted
from ensemble_uq_llm.evaluation.decisions.roc import roc_curve, shift_roc_curves
from ensemble_uq_llm.evaluation.decisions.score_choice import choose_score
from ensemble_uq_llm.evaluation.decisions.shift import measure_shift
from ensemble_uq_llm.evaluation.decisions.temperature import Place
from ensemble_uq_llm.evaluation.histograms import HistogramAxis, histograms
from ensemble_uq_llm.evaluation.labelled import LabelledNumbers
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.members.diversity import measure_diversity
from ensemble_uq_llm.evaluation.members.gain import gains, member_metrics, members_mean
from ensemble_uq_llm.evaluation.members.size_curve import enough_subsets, size_curve
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE
from ensemble_uq_llm.evaluation.quality.predictor import quality_changes, quality_estimates
from ensemble_uq_llm.evaluation.quality.reliability import reliability
from ensemble_uq_llm.evaluation.quality.truth import measure_truth
from ensemble_uq_llm.evaluation.records import (
    Conformal,
    FittedTemperature,
    SelectiveScore,
    SetMetrics,
    TemperatureEffect,
    TemperatureScaling,
)
from ensemble_uq_llm.evaluation.scores import scores_to_abstain_by, uncertainty_scores
from ensemble_uq_llm.statistics.ties import most_probable


def unlabelled_metrics(
    name: str, measured: Measured, axes: Mapping[str, HistogramAxis], *, draws: int, seed: int
) -> SetMetrics:
    """Return what can be said without labels, as of a set beside which no other stands.

    Args:
        name: what the set is called.
        measured: the set.
        axes: of the histograms.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    predictions, uncertainty = measured.predictions, measured.uncertainty
    averages = {f"average_{name}": float(scores_N.mean()) for name, scores_N in uncertainty_scores(uncertainty).items()}
    with_options = is_choice(measured)
    averages |= option_averages(measured) if with_options else {}
    true_probs_NC = predictions.true_probs_NC
    return SetMetrics(
        name=name,
        role="other",
        n=len(predictions.ids),
        labelled=measured.n,
        members=len(predictions.members),
        classes=measured.classes,
        member_ids=predictions.members,
        class_names=predictions.class_names,
        options=count_options(measured) if with_options else None,
        uncertainty=averages | {"mean_confidence": float(uncertainty.confidence_N.mean())},
        histograms=histograms(measured, axes),
        truth={}
        if true_probs_NC is None
        else measure_truth(uncertainty, true_probs_NC, predictions.labels_N, draws=draws, seed=seed),
    )


def with_labels(
    metrics: SetMetrics, measured: Measured, numbers: LabelledNumbers, *, draws: int, seed: int
) -> SetMetrics:
    """Return the metrics with what the labels say: quality, calibration, selective prediction, and the members."""
    members, answers_N = measured.predictions.members, most_probable(measured.log_probs_NC)
    metrics = replace(
        metrics,
        draws=draws,
        ensemble=quality_estimates(
            measured.log_probs_NC, numbers.ensemble, numbers.errors[None], draws=draws, seed=seed
        ),
        constant_answers=measure_constant(
            *(answers_N, measured.labels_N, numbers.constant, numbers.ensemble), lacks_NC=measured.lacks_NC
        ),
        by_class=measure_classes(answers_N, measured.labels_N, numbers.by_class, classes=measured.classes),
        members_mean=members_mean(numbers.members, members, HEADLINE),
        per_member=member_metrics(numbers.members, members, HEADLINE),
        reliability=reliability(measured.confidence_N, ~measured.wrong_N, draws=draws, seed=seed),
        selective={
            score: SelectiveScore(
                numbers=numbers.selective[score].estimates(),
                curve=numbers.curves[score],
                roc=roc_curve(scores_N, measured.wrong_N),
            )
            for score, scores_N in measured.scores.items()
        },
        best_score=choose_score(numbers.selective, names=scores_to_abstain_by(len(members))),
    )
    return _with_members(metrics, measured, numbers, draws=draws, seed=seed) if metrics.several else metrics


def _with_members(
    metrics: SetMetrics, measured: Measured, numbers: LabelledNumbers, *, draws: int, seed: int
) -> SetMetrics:
    members, labels_N, log_probs_MNC = measured.predictions.members, measured.labels_N, measured.log_probs_MNC
    subsets, rng = enough_subsets(measured.n), np.random.default_rng(seed)
    return replace(
        metrics,
        gain=gains(
            *(numbers.members, members, HEADLINE, numbers.errors),
            unlike_MN=(most_probable(log_probs_MNC) != labels_N) != measured.wrong_N,
        ),
        size_curve=size_curve(*(log_probs_MNC, labels_N, HEADLINE), subsets=subsets, draws=draws, seed=seed, rng=rng),
        diversity=measure_diversity(most_probable(log_probs_MNC), labels_N, members=members, draws=draws, seed=seed),
    )


def with_decisions(
    metrics: SetMetrics,
    measured: Measured,
    numbers: LabelledNumbers,
    *,
    fitted: Fitted,
    decisions: Decisions,
    draws: int,
    seed: int,
) -> SetMetrics:
    """Return the metrics with what a calibration split buys: temperatures and conformal sets.

    Args:
        metrics: of the set.
        measured: the set; at least one example is labelled.
        numbers: of its labelled examples.
        fitted: what was fitted on the calibration split.
        decisions: what that says of the labelled examples.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """

    def effect(place: Place, temperatures: tuple[FittedTemperature, ...]) -> TemperatureEffect:
        after, log_probs_NC = numbers.calibrated[place], decisions.log_probs_NC[place]
        errors, right_N = numbers.errors[place], most_probable(log_probs_NC) == measured.labels_N
        return TemperatureEffect(
            temperatures=temperatures,
            after=quality_estimates(log_probs_NC, after, errors, draws=draws, seed=seed),
            change=quality_changes(
                *(after, numbers.ensemble, errors, numbers.errors[None]),
                paired=True,
                differing={"accuracy": int((right_N == measured.wrong_N).sum())},
            ),
            reliability=reliability(np.exp(log_probs_NC.max(axis=1)), right_N, draws=draws, seed=seed),
        )

    return replace(
        metrics,
        temperature=TemperatureScaling(
            calibration=fitted.calibration,
            pooled=effect("pooled", (fitted.temperatures.pooled,)),
            per_member=effect("per_member", fitted.temperatures.per_member),
        ),
        conformal=Conformal(
            calibration=fitted.calibration,
            methods=conformal.measure(fitted.rules, decisions.sets_RNC, measured.labels_N, draws=draws, seed=seed),
        ),
    )


def beside_reference(
    metrics: SetMetrics,
    measured: Measured,
    numbers: LabelledNumbers | None,
    *,
    reference: tuple[str, Measured, LabelledNumbers | None],
    draws: int,
    seed: int,
) -> SetMetrics:
    """Return the metrics of a shifted set or of other data with how it differs from the reference.

    Args:
        metrics: of the set.
        measured: the set.
        numbers: of its labelled examples, if there are any.
        reference: name, measures and numbers of the set in distribution.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    name, usual, usual_numbers = reference
    change = {}
    if numbers is not None and usual_numbers is not None and min(measured.n, usual.n) > 1:  # one is not resampled
        change = quality_changes(
            numbers.ensemble, usual_numbers.ensemble, numbers.errors[None], usual_numbers.errors[None], paired=False
        )
    shift = measure_shift(
        measured.uncertainty,
        usual.uncertainty,
        members=metrics.members,
        name=name,
        change=change,
        draws=draws,
        seed=seed,
    )
    shift = replace(shift, roc=shift_roc_curves(measured.uncertainty, usual.uncertainty))
    return replace(metrics, reference=name, shift=shift)
