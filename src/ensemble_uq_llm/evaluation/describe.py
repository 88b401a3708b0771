"""The blocks of the metrics JSON (docs/metrics.md): every concept's numbers, put together for one evaluated set.

All numbers of the labelled examples come from one resampling of them, so that all are paired draw by draw:
members with the ensemble, a score with another, probabilities before calibration with those after.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ensemble_uq_llm.evaluation.decisions.held_out import HeldOut
from ensemble_uq_llm.evaluation.decisions.score_choice import answer, choose_score
from ensemble_uq_llm.evaluation.decisions.selective import risk_coverage_curve, selective_family
from ensemble_uq_llm.evaluation.decisions.shift import shift_family
from ensemble_uq_llm.evaluation.decisions.temperature import CalibratedLogProbs
from ensemble_uq_llm.evaluation.histograms import reliability
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.members import size_curve as anatomy
from ensemble_uq_llm.evaluation.members.diversity import measure_diversity
from ensemble_uq_llm.evaluation.quality.calibration import LogProbs
from ensemble_uq_llm.evaluation.quality.metrics import CENTRED, HEADLINE, metrics_for, quality_family
from ensemble_uq_llm.evaluation.quality.noise_floor import noise_floor
from ensemble_uq_llm.evaluation.quality.truth import CENTRED as TRUTH_CENTRED
from ensemble_uq_llm.evaluation.quality.truth import truth_statistics
from ensemble_uq_llm.evaluation.scores import uncertainty_scores
from ensemble_uq_llm.evaluation.statistics.binomial import clopper_pearson
from ensemble_uq_llm.evaluation.statistics.bootstrap import Resampled, compare, resample
from ensemble_uq_llm.evaluation.statistics.statistic import family_of, joined


def resample_labelled(
    measured: Measured, calibrated: Mapping[str, CalibratedLogProbs], *, draws: int, seed: int
) -> Resampled:
    """Return every number of the labelled examples, and its draws.

    Names are `ensemble/METRIC`, `members/METRIC/...`, `selective/SCORE/QUANTITY`,
    and `calibrated/WHERE/METRIC`.
    """
    families = {"ensemble": quality_family(measured.log_probs_NC, measured.labels_N)}
    families["members"] = anatomy.gain_family(measured.log_probs_MNC, measured.labels_N, HEADLINE)
    families |= {
        f"selective/{name}": selective_family(scores_N, measured.wrong_N) for name, scores_N in measured.scores.items()
    }
    families |= {
        f"calibrated/{where}": quality_family(each.log_probs_NC, measured.labels_N)
        for where, each in calibrated.items()
    }
    return resample(joined(families), sizes=[measured.n], draws=draws, seed=seed)


def describe(measured: Measured) -> dict[str, Any]:
    """Return what can be said without labels."""
    predictions, uncertainty = measured.predictions, measured.uncertainty
    averages = {f"average_{name}": float(scores_N.mean()) for name, scores_N in uncertainty_scores(uncertainty).items()}
    return {
        "n": len(predictions.ids),
        "labelled": measured.n,
        "members": len(predictions.members),
        "classes": measured.classes,
        "seeds": [member.seed for member in predictions.members],
        "ensemble": {},
        "members_mean": {},
        "per_member": [],
        "uncertainty": averages | {"mean_confidence": float(uncertainty.confidence_N.mean())},
    }


def labelled(measured: Measured, resampled: Resampled, *, draws: int, seed: int) -> dict[str, Any]:
    """Return what the labels say: quality, calibration, selective prediction, and what the members add."""
    blocks: dict[str, Any] = {
        "draws": draws,
        "ensemble": _with_floors(measured, measured.log_probs_NC, resampled.part("ensemble"), draws=draws, seed=seed),
        **_members(measured, resampled.part("members")),
        "reliability": reliability(measured, draws=draws, seed=seed),
        "selective": {
            name: {
                **resampled.part(f"selective/{name}").estimates(),
                "curve": dict(zip(("coverage", "risk"), risk_coverage_curve(scores_N, measured.wrong_N), strict=True)),
            }
            for name, scores_N in measured.scores.items()
        },
    }
    choice = choose_score(resampled.part("selective")).as_json()
    blocks["best_score"] = choice | {"answer": answer(choice)}
    if len(measured.predictions.members) > 1:
        blocks |= _anatomy(measured, resampled.part("members"), draws=draws, seed=seed)
    return blocks


def temperature(
    measured: Measured,
    held_out: HeldOut,
    calibrated: Mapping[str, CalibratedLogProbs],
    resampled: Resampled,
    *,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Return the temperatures, the quality after them, and its change."""
    before = resampled.part("ensemble")
    block: dict[str, Any] = {"calibration": held_out.as_json()}
    for where, each in calibrated.items():
        after = resampled.part(f"calibrated/{where}")
        block[where] = each.as_json() | {
            "after": _with_floors(measured, each.log_probs_NC, after, draws=draws, seed=seed),
            "change": _changes(after, before),
        }
    return block


def truth(measured: Measured, *, draws: int, seed: int) -> dict[str, Any]:
    """Return the distance to the true probabilities, of all examples."""
    predictions, uncertainty = measured.predictions, measured.uncertainty
    assert predictions.true_probs_NC is not None
    statistics = truth_statistics(
        uncertainty.log_probs_NC,
        predictions.true_probs_NC,
        predictions.labels_N,
        expected_entropy_N=uncertainty.expected_entropy_N,
    )
    resampled = resample(family_of(statistics), sizes=[len(predictions.ids)], draws=draws, seed=seed)
    return resampled.estimates(centred=TRUTH_CENTRED)


def shift(
    measured: Measured,
    reference: Measured,
    *,
    resampled: Resampled | None,
    reference_resampled: Resampled | None,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Return how well every score tells the set from the reference, and how much worse it is answered.

    Args:
        measured: the shifted set.
        reference: the set in distribution.
        resampled: the shifted set's numbers, if it has labels.
        reference_resampled: the reference's numbers, if it has labels.
        draws: bootstrap draws.
        seed: of the bootstrap.
    """
    sizes = [len(each.predictions.ids) for each in (measured, reference)]
    family = shift_family(measured.uncertainty, reference.uncertainty)
    estimates = resample(family, sizes=sizes, draws=draws, seed=seed).estimates()
    block: dict[str, Any] = {}
    for name, estimate in estimates.items():
        score, _, quantity = name.partition("/")
        block.setdefault(quantity, {})[score] = estimate
    known = {score: each["value"] for score, each in block["auroc"].items() if each["value"] is not None}
    best = max(known, key=lambda score: known[score])
    block["best"] = {"score": best, "auroc": known[best]}
    if resampled is not None and reference_resampled is not None:
        block["change"] = _changes(resampled.part("ensemble"), _unpaired(reference_resampled.part("ensemble")))
    return block


def _with_floors(
    measured: Measured, log_probs_NC: LogProbs, resampled: Resampled, *, draws: int, seed: int
) -> dict[str, Any]:
    """Return every metric's estimate, and beside a calibration error its noise floor."""
    errors = {
        metric.name: metric.calibration(log_probs_NC)
        for metric in metrics_for(measured.classes)
        if metric.calibration is not None
    }
    estimates = resampled.estimates(centred=CENTRED)
    for name, floor in noise_floor(log_probs_NC, errors, draws=draws, seed=seed).items():
        estimates[name]["noise_floor"] = floor.as_json(estimates[name]["value"])
    accuracy = estimates["accuracy"]
    if accuracy["ci95"] and accuracy["value"] in (0.0, 1.0):
        # No resampling of answers that are all right contains a wrong one: the interval is the exact one.
        accuracy["ci95"] = list(clopper_pearson(round(accuracy["value"] * measured.n), measured.n))
    return estimates


def _members(measured: Measured, resampled: Resampled) -> dict[str, Any]:
    seeds = [member.seed for member in measured.predictions.members]
    per_member = [
        {"seed": seed}
        | {
            metric.name: resampled.estimate(f"{metric.name}/member_{m}", centred=metric.centred).as_json()
            for metric in HEADLINE
        }
        for m, seed in enumerate(seeds)
    ]
    means = {
        metric.name: np.mean([resampled.values[f"{metric.name}/member_{m}"] for m in range(len(seeds))])
        for metric in HEADLINE
    }
    return {
        "members_mean": {name: {"value": None if np.isnan(mean) else float(mean)} for name, mean in means.items()},
        "per_member": per_member,
    }


def _anatomy(measured: Measured, resampled: Resampled, *, draws: int, seed: int) -> dict[str, Any]:
    seeds, subsets = [member.seed for member in measured.predictions.members], anatomy.enough_subsets(measured.n)
    log_probs_MNC, labels_N, rng = measured.log_probs_MNC, measured.labels_N, np.random.default_rng(seed)
    predictions_MN = log_probs_MNC.argmax(axis=2)
    return {
        "gain": anatomy.gains(resampled, seeds, HEADLINE),
        "size_curve": anatomy.size_curve(log_probs_MNC, labels_N, HEADLINE, subsets=subsets, rng=rng),
        "diversity": measure_diversity(predictions_MN, labels_N, seeds=seeds, draws=draws, seed=seed),
    }


def _changes(after: Resampled, before: Resampled) -> dict[str, Any]:
    after, before = after.centred(CENTRED), before.centred(CENTRED)
    common = [name for name in after.values if name in before.values]
    return {
        name: compare(after.values[name], after.draws_D[name], before.values[name], before.draws_D[name]).as_json()
        for name in common
    }


def _unpaired(resampled: Resampled) -> Resampled:
    """Return the draws moved on by one, so that those of equal number come from different resamplings."""
    return Resampled(
        values=resampled.values, draws_D={name: np.roll(draws_D, 1) for name, draws_D in resampled.draws_D.items()}
    )
