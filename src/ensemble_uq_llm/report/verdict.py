"""The verdict: a few sentences with the numbers that matter most, and what has gone wrong."""

from dataclasses import replace

from markupsafe import Markup

from ensemble_uq_llm.evaluation.members.added_member import SLIGHT
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.report.formats import show_interval, show_value
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.words.findings_in_words import findings_in_words
from ensemble_uq_llm.report.words.posterior_in_words import posterior_in_words
from ensemble_uq_llm.report.words.shift_in_words import shift_in_words
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES
from ensemble_uq_llm.utils.text import counted


def verdict(source: ReportSource) -> Markup:
    """Return how good the ensemble is on the main set, whether it knows, and whether it notices other data."""
    sentences = [
        _quality(source),
        *map(Markup.escape, posterior_in_words(source.record)),
        *findings_in_words(source.main, source.class_labels),
        _gain(source.main),
    ]
    sentences.append(_abstention(source.main))
    sentences += shift_in_words(source.others)
    for metrics in source.others.values():
        warned = replace(metrics, findings=tuple(each for each in metrics.findings if each.kind == "worse_but_surer"))
        sentences += findings_in_words(warned, source.class_labels)
    return Markup(" ").join(sentence for sentence in sentences if sentence)


def _quality(source: ReportSource) -> Markup:
    name, metrics = source.name, source.main
    who = f"the ensemble of {metrics.members} members" if metrics.several else "the single member"
    if not metrics.ensemble:
        return Markup("{} of {} answered by {}; without labels nobody knows how well.").format(
            counted(metrics.n, "unlabelled example"), name, who
        )
    accuracy = metrics.ensemble["accuracy"]
    asides = [f"95% interval {show_interval(accuracy.ci95, '.1%')}"] if accuracy.ci95 else []
    if metrics.several:
        asides.append(f"its mean member {show_value(metrics.members_mean['accuracy'].value, '.1%')}")
    if constant := metrics.constant_answers:
        always = show_value(constant.metrics["accuracy"].value.value, ".1%")
        asides.append(f"always answering '{source.class_labels[constant.majority]}' {always}")
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


def _gain(metrics: SetMetrics) -> Markup:
    """Return what pooling gains in NLL, where that is surely more than slight and nothing speaks against it."""
    nll = metrics.gain.get("nll")
    hurts = any(each.kind == "ensemble_hurts" for each in metrics.findings)
    if nll is None or nll.over_mean.ci95 is None or hurts or metrics.labelled < FEWEST_EXAMPLES:
        return Markup()
    low, high = nll.over_mean.ci95
    if high > -SLIGHT:
        return Markup()
    said = Markup("Pooling its members lowers the NLL from {} to <b>{}</b>, by {:.4f} (95% interval {:.4f} to {:.4f}).")
    ends = (show_value(each.value, ".3f") for each in (metrics.members_mean["nll"], metrics.ensemble["nll"]))
    return said.format(*ends, -(nll.over_mean.value or 0.0), -high, -low)


def _abstention(metrics: SetMetrics) -> Markup:
    choice = metrics.best_score
    if choice is None or metrics.labelled < FEWEST_EXAMPLES:
        return Markup()
    risk = metrics.selective[choice.chosen].numbers["risk_at_coverage_80"].value
    if risk is None:
        return Markup()
    return Markup("Of the 80% of questions that it is surest of, it gets <b>{:.1%}</b> wrong.").format(risk)
