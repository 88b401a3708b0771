"""The verdict: one or two sentences with the numbers that matter most."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ensemble_uq_llm.report.formats import score_in_text
from ensemble_uq_llm.report.source import Metrics, ReportSource
from ensemble_uq_llm.report.tables import CHANCE
from ensemble_uq_llm.report.terminal import show_interval
from ensemble_uq_llm.utils.text import counted

_SETS = 3
"""Other sets that are named."""


def verdict(source: ReportSource) -> Markup:
    """Return how good the ensemble is on the main set, whether it knows, and whether it notices other data."""
    sentences = [_quality(source.name, source.main), _abstention(source.main), _shift(source)]
    return Markup(" ").join(sentence for sentence in sentences if sentence)


def _quality(name: str, metrics: Metrics) -> Markup:
    members = metrics["members"]
    who = f"the ensemble of {members} members" if members > 1 else "the single member"
    if not metrics["ensemble"]:
        return Markup("{} of {} answered by {}; without labels nobody knows how well.").format(
            counted(metrics["n"], "unlabelled example"), name, who
        )
    accuracy = metrics["ensemble"]["accuracy"]
    asides = [f"95% interval {show_interval(accuracy, '.1%')}"] if accuracy["ci95"] else []
    if members > 1:
        asides.append(f"its mean member {metrics['members_mean']['accuracy']['value']:.1%}")
    said = Markup("On {} of {}, {} answers <b>{:.1%}</b> correctly{}{}.")
    aside = f" ({'; '.join(asides)})" if asides else ""
    return said.format(
        counted(metrics["labelled"], "labelled example"), name, who, accuracy["value"], aside, _claim(metrics)
    )


def _claim(metrics: Metrics) -> Markup:
    """Return what it claims to answer correctly, and whether its calibration error is more than chance."""
    parts = []
    if metrics["labelled"] == metrics["n"]:
        parts.append(Markup(" and claims <b>{:.1%}</b>").format(metrics["uncertainty"]["mean_confidence"]))
    ece: Mapping[str, Any] = metrics["ensemble"].get("ece", {})
    if ece.get("noise_floor") and ece["noise_floor"]["p_value"] is not None:
        within = ece["noise_floor"]["p_value"] > CHANCE
        judged = "which chance alone would explain" if within else "more than chance would explain"
        parts.append(Markup("; its calibration error is <b>{:.3f}</b>, {}").format(ece["value"], judged))
    return Markup("").join(parts)


def _abstention(metrics: Metrics) -> Markup:
    choice = metrics.get("best_score", {})
    score = choice.get("best" if choice.get("really_better") else "baseline")
    risk = metrics.get("selective", {}).get(score, {}).get("risk_at_coverage_80", {}).get("value")
    if risk is None or metrics["labelled"] < 2:
        return Markup()
    return Markup("Of the 80% of questions that it is surest of, it gets <b>{:.1%}</b> wrong.").format(risk)


def _shift(source: ReportSource) -> Markup:
    best = {name: metrics["shift"].get("best") for name, metrics in source.others.items() if "shift" in metrics}
    areas = {name: (each["auroc"], each["score"]) for name, each in best.items() if each}
    known = sorted((name for name in areas if areas[name][0] is not None), key=lambda name: -areas[name][0])
    if not known:
        return Markup()
    listed = Markup(", ").join(
        Markup("<b>{:.2f}</b> ({}, by {})").format(areas[name][0], name, score_in_text(areas[name][1]))
        for name in known[:_SETS]
    )
    return Markup("Its uncertainty tells other data from it with an AUROC of {}.").format(listed)
