"""The verdict: one or two sentences with the numbers that matter most."""

from markupsafe import Markup

from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.report.formats import score_in_text, show_interval, show_value
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.utils.text import counted

_SETS = 3
"""Other sets that are named."""


def verdict(source: ReportSource) -> Markup:
    """Return how good the ensemble is on the main set, whether it knows, and whether it notices other data."""
    sentences = [_quality(source.name, source.main), _abstention(source.main), _shift(source)]
    return Markup(" ").join(sentence for sentence in sentences if sentence)


def _quality(name: str, metrics: SetMetrics) -> Markup:
    who = f"the ensemble of {metrics.members} members" if metrics.several else "the single member"
    if not metrics.ensemble:
        return Markup("{} of {} answered by {}; without labels nobody knows how well.").format(
            counted(metrics.n, "unlabelled example"), name, who
        )
    accuracy = metrics.ensemble["accuracy"]
    asides = [f"95% interval {show_interval(accuracy.ci95, '.1%')}"] if accuracy.ci95 else []
    if metrics.several:
        asides.append(f"its mean member {show_value(metrics.members_mean['accuracy'].value, '.1%')}")
    said = Markup("On {} of {}, {} answers <b>{}</b> correctly{}{}.")
    return said.format(
        counted(metrics.labelled, "labelled example"),
        *(name, who, show_value(accuracy.value, ".1%")),
        f" ({'; '.join(asides)})" if asides else "",
        _claim(metrics),
    )


def _claim(metrics: SetMetrics) -> Markup:
    """Return what it claims to answer correctly, and whether its calibration error is more than chance."""
    parts = []
    if metrics.labelled == metrics.n:
        parts.append(Markup(" and claims <b>{:.1%}</b>").format(metrics.uncertainty["mean_confidence"]))
    ece = metrics.ensemble["ece"]
    if ece.noise_floor and ece.noise_floor.chance_explains is not None:
        judged = (
            "which chance alone would explain" if ece.noise_floor.chance_explains else "more than chance would explain"
        )
        parts.append(Markup("; its calibration error is <b>{}</b>, {}").format(show_value(ece.value, ".3f"), judged))
    return Markup("").join(parts)


def _abstention(metrics: SetMetrics) -> Markup:
    choice = metrics.best_score
    if choice is None or metrics.labelled < 2:
        return Markup()
    risk = metrics.selective[choice.chosen].numbers["risk_at_coverage_80"].value
    if risk is None:
        return Markup()
    return Markup("Of the 80% of questions that it is surest of, it gets <b>{:.1%}</b> wrong.").format(risk)


def _shift(source: ReportSource) -> Markup:
    best = [(name, metrics.shift.best) for name, metrics in source.others.items() if metrics.shift]
    found = sorted(((name, each) for name, each in best if each), key=lambda pair: -pair[1].auroc)
    if not found:
        return Markup()
    named = Markup(", ").join(
        Markup("<b>{:.2f}</b> ({}, by {})").format(each.auroc, name, score_in_text(each.score))
        for name, each in found[:_SETS]
    )
    return Markup("Its uncertainty tells other data from it with an AUROC of {}.").format(named)
