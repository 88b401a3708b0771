"""Every number of a set's labelled examples, from one resampling of them.

So all are paired draw by draw: members with the ensemble, a score with another, probabilities before calibration
with those after.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.classes.by_class import class_family
from ensemble_uq_llm.evaluation.classes.constant_answers import constant_family
from ensemble_uq_llm.evaluation.decisions.risk_band import risk_family, with_band
from ensemble_uq_llm.evaluation.decisions.selective import risk_coverage_curve, selective_family
from ensemble_uq_llm.evaluation.decisions.temperature import Place
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.members.gain import OfPredictor, gain_family
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, metrics_for, quality_family, summed_for
from ensemble_uq_llm.evaluation.quality.true_error import ErrorLaw, error_laws
from ensemble_uq_llm.evaluation.records import RiskCoverageCurve
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.bootstrap import Resampled, resample_together
from ensemble_uq_llm.statistics.statistic import Family

Whose: TypeAlias = MemberId | Place | None
"""A member, the ensemble after the temperature of a place, or (None) the ensemble."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledNumbers:
    """The numbers of the labelled examples, and their draws."""

    ensemble: Resampled[str]
    """By metric."""
    constant: Resampled[str]
    """By metric, of constant answers."""
    by_class: Resampled[tuple[str, int]]
    """Precision, recall and F1, by name and class."""
    members: Resampled[OfPredictor]
    """The headline metrics of every member and of the ensemble."""
    selective: dict[str, Resampled[str]]
    """By score."""
    curves: dict[str, RiskCoverageCurve]
    """By score, with their bands."""
    calibrated: dict[Place, Resampled[str]]
    """By metric, after the temperature applied there; empty without a calibration split."""
    errors: dict[Whose, dict[str, ErrorLaw]]
    """The laws of the calibration errors by metric; of members those of the headline."""


def resample_labelled(
    measured: Measured, calibrated: Mapping[Place, NDArray[np.float64]], *, draws: int, seed: int
) -> LabelledNumbers:
    """Return every number of the labelled examples, all from the same draws.

    Args:
        measured: the set; at least one example is labelled.
        calibrated: the log-probabilities [N, C] of the labelled examples after calibration, where there is one.
        draws: of the bootstrap; 0 for values alone.
        seed: of the bootstrap.
    """
    labels_N, members = measured.labels_N, measured.predictions.members
    families: dict[Hashable, Family[Any]] = {
        "ensemble": quality_family(measured.log_probs_NC, labels_N),
        "constant": constant_family(labels_N, measured.classes, lacks_NC=measured.lacks_NC),
        "by_class": class_family(measured.log_probs_NC, labels_N),
        "members": gain_family(measured.log_probs_MNC, labels_N, members, HEADLINE),
    }
    curves = {score: risk_coverage_curve(scores_N, measured.wrong_N) for score, scores_N in measured.scores.items()}
    for score, scores_N in measured.scores.items():
        families["selective", score] = selective_family(scores_N, measured.wrong_N)
        families["risks", score] = risk_family(scores_N, measured.wrong_N, curves[score].coverage)
    for place, log_probs_NC in calibrated.items():
        families["calibrated", place] = quality_family(log_probs_NC, labels_N)
    kinds = summed_for(metrics_for(measured.classes))
    of_members: dict[Whose, NDArray[np.float64]] = dict(zip(members, measured.log_probs_MNC, strict=True))
    predictors: dict[Whose, NDArray[np.float64]] = {None: measured.log_probs_NC}
    predictors |= dict(calibrated.items())
    resampled = resample_together(families, sizes=[measured.n], draws=draws, seed=seed)
    return LabelledNumbers(
        ensemble=resampled["ensemble"],
        constant=resampled["constant"],
        by_class=resampled["by_class"],
        members=resampled["members"],
        selective={score: resampled["selective", score] for score in measured.scores},
        curves={score: with_band(curve, resampled["risks", score]) for score, curve in curves.items()},
        calibrated={place: resampled["calibrated", place] for place in calibrated},
        errors={
            **error_laws(of_members, labels_N, summed_for(HEADLINE), draws=draws, seed=seed),
            **error_laws(predictors, labels_N, kinds, draws=draws, seed=seed),
        },
    )
