"""Metrics and comparisons as tables for the terminal, of whatever width it has."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from ensemble_uq_llm.evaluation.comparison import compared_quantities
from ensemble_uq_llm.evaluation.protocol.protocols_beside import differences_in_words, protocol_lines
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS
from ensemble_uq_llm.evaluation.quality.truth import TRUTH_NUMBERS
from ensemble_uq_llm.evaluation.records import (
    ComparedMetric,
    Conformal,
    MetricEstimate,
    RunComparison,
    SetMetrics,
    TemperatureScaling,
)
from ensemble_uq_llm.report.fitting_table import FittingTable
from ensemble_uq_llm.report.formats import (
    UNCERTAINTY_ROWS,
    UNDEFINED,
    debiased_in_words,
    direction,
    few_members_in_words,
    show_interval,
    show_range,
    show_value,
)
from ensemble_uq_llm.report.words.findings_in_words import (
    classes_in_words,
    findings_in_words,
    other_findings_in_words,
)
from ensemble_uq_llm.report.words.set_in_words import options_in_words, other_protocols
from ensemble_uq_llm.report.words.shift_in_words import shift_in_words
from ensemble_uq_llm.run_folder import OUT_OF_BAG
from ensemble_uq_llm.statistics.intervals import Estimate
from ensemble_uq_llm.statistics.significance import p_in_words
from ensemble_uq_llm.utils.text import counted

_SHORT_SCORES = {"mutual_information": "of MI", "entropy": "of entropy"}


def headline_table(name: str, metrics: SetMetrics, class_labels: Sequence[str] | None = None) -> RenderableType:
    """Return what is to be said of one evaluated set: its metrics, uncertainties and distance from the truth.

    Args:
        name: what the set is called.
        metrics: what was measured of it.
        class_labels: how the classes are called; by their index without.
    """
    caption = counted(metrics.n, "example")
    if metrics.labelled < metrics.n:
        caption += f", {metrics.labelled:,} of them labelled"
    caption += f", {counted(metrics.members, 'member')}"
    parts: list[RenderableType] = [Text.assemble((name, "bold"), "  ", (caption, "dim"))]
    parts += [Text(f"Warning: {sentence}", style="bold") for sentence in findings_in_words(metrics, class_labels)]
    if metrics.ensemble:
        parts.append(_metric_table(metrics))
        if metrics.ensemble["ece"].noise_floor:
            parts.append(_calibration_table(metrics))
    parts.append(_uncertainty_table(metrics))
    if metrics.truth:
        parts.append(_truth_table(metrics))
    parts += [Text(sentence) for sentence in (*classes_in_words(metrics, class_labels), *_sentences(metrics))]
    parts += [Text(metrics.protocol_line, style="dim")] if metrics.protocol_line else []
    return Group(*parts)


def shift_table(sets: Mapping[str, SetMetrics], class_labels: Sequence[str] | None = None) -> RenderableType:
    """Return one row a set: is it answered worse, and is it told from the reference set; and what that means."""
    shifts = [metrics.shift for metrics in sets.values() if metrics.shift]
    judged = _SHORT_SCORES[shifts[0].detection.score] if shifts else ""
    several = any(metrics.several for metrics in sets.values())
    averages = {"average_entropy": "Entropy"} | ({"average_mutual_information": "MI"} if several else {})
    told = ("Set", "n", "Accuracy", "95%, in %", *averages.values())
    table = FittingTable(*told, f"AUROC\n{judged}".rstrip(), "95%")
    for name, metrics in sets.items():
        accuracy = metrics.ensemble["accuracy"] if metrics.ensemble else Estimate(value=None, ci95=None)
        detection = metrics.shift.detection if metrics.shift else None
        table.add_row(
            Text(name),
            f"{metrics.n:,}",
            show_value(accuracy.value, ".1%"),
            show_range(accuracy.ci95, ".1%"),
            *(show_value(metrics.uncertainty[average], ".3f") for average in averages),
            show_value(detection.auroc.value if detection else None, ".3f"),
            show_range(detection.auroc.ci95 if detection else None, ".2f"),
        )
    warnings = [f"Warning: {sentence}" for sentence in other_findings_in_words(sets, class_labels)]
    protocols = (Text(line, style="dim") for line in other_protocols(sets))
    return Group(table, *map(Text, (*shift_in_words(sets), *warnings)), *protocols)


def _metric_table(metrics: SetMetrics) -> FittingTable:
    table = FittingTable("Metric", _whose(metrics), "95% interval", *(["Mean member"] if metrics.several else []))
    for metric in HEADLINE:
        estimate = metrics.ensemble[metric.name]
        if estimate.noise_floor:
            continue
        table.add_row(
            f"{metric.title} {direction(metric.higher_is_better)}",
            Text(show_value(estimate.value, metric.format), style="bold"),
            show_interval(estimate.ci95, metric.format),
            *([show_value(metrics.members_mean[metric.name].value, metric.format)] if metrics.several else []),
        )
    return table


def _whose(metrics: SetMetrics) -> str:
    """Return the title of a column of the pooled answers' numbers; one member's need no name."""
    return "Ensemble" if metrics.several else "Value"


def _calibration_table(metrics: SetMetrics) -> FittingTable:
    """Return the calibration errors beside what a perfectly calibrated model would show on as many examples."""
    table = FittingTable("Calibration error ↓", _whose(metrics), "Without noise", "If calibrated", "at most*")
    for metric in METRICS:
        estimate = metrics.ensemble.get(metric.name)
        if estimate is None or estimate.noise_floor is None or metric.same_as:
            continue
        table.add_row(
            metric.title,
            Text(show_value(estimate.value, metric.format), style="bold"),
            debiased_in_words(estimate.debiased, metric.format),
            show_value(estimate.noise_floor.mean, metric.format),
            show_value(estimate.noise_floor.p95, metric.format),
        )
    table.caption = "* in 95 of 100 draws; an error below it may be noise. In brackets: 95% interval"
    return table


def _sentences(metrics: SetMetrics) -> list[str]:
    """Return the answers that need no table: which score, how many members, what calibration changes."""
    sentences = [options_in_words(metrics)] if metrics.options else []
    if metrics.best_score:
        sentences.append(f"Which score to abstain by? {metrics.best_score.answer}")
    if few := few_members_in_words(metrics.members):
        sentences.append(few)
    if metrics.size_curve:
        sentences.append(f"Do I need them all? {metrics.size_curve.answer}")
    if metrics.temperature:
        sentences.append(_temperature_sentence(metrics.temperature, metrics.ensemble))
    if metrics.conformal:
        sentences.append(_conformal_sentence(metrics.conformal))
    return sentences


def _temperature_sentence(scaling: TemperatureScaling, before: Mapping[str, MetricEstimate]) -> str:
    (temperature,), after = scaling.pooled.temperatures, scaling.pooled.after
    bound = " (the bound: fit it on more)" if temperature.at_bound else ""
    out_of_bag = scaling.calibration.name == OUT_OF_BAG
    which = "training examples by the members that left them out" if out_of_bag else "other examples"
    nll, ece = (
        " to ".join(show_value(estimates[name].value, ".3f") for estimates in (before, after))
        for name in ("nll", "ece")
    )
    return (
        f"A temperature of {temperature.value:.2f}{bound}, fitted on {scaling.calibration.n:,} {which}, "
        f"changes the NLL from {nll} and the ECE from {ece}."
    )


def _conformal_sentence(conformal: Conformal) -> str:
    sets = conformal.methods["lac"]["0.90"]
    expected = sets.promise.expected95
    usual = f" ({show_interval(expected, '.1%')} is usual for rules made so)" if expected else ""
    return (
        f"Conformal sets for 90%: {show_value(sets.coverage.value, '.1%')} hold the label "
        f"({show_interval(sets.coverage.ci95, '.1%')}), with {show_value(sets.mean_size.value, '.2f')} classes on "
        f"average. Promise: {sets.promise.verdict}{usual}."
    )


def _uncertainty_table(metrics: SetMetrics) -> FittingTable:
    table = FittingTable("Uncertainty", "Average")
    for name, title in UNCERTAINTY_ROWS if metrics.several else UNCERTAINTY_ROWS[:1]:
        table.add_row(title, show_value(metrics.uncertainty[name], ".4f"))
    return table


def _truth_table(metrics: SetMetrics) -> FittingTable:
    table = FittingTable("Against the true probabilities", _whose(metrics), "95% interval")
    for each in TRUTH_NUMBERS:
        estimate = metrics.truth[each.name]
        table.add_row(each.title, show_value(estimate.value, each.format), show_interval(estimate.ci95, each.format))
    return table


def comparison_table(result: RunComparison) -> RenderableType:
    """Return two runs compared as a table, with what it means in words."""
    table = compared_metrics(result)
    test = result.mcnemar
    answers = f"Right answers of A only: {test.only_a:,}; of B only: {test.only_b:,}"
    errors = "Differences of calibration errors are those of the errors without noise."
    exact = f"{answers}; exact McNemar test, {p_in_words(test.p_value)}. All p are two-sided."
    words = (errors, exact, result.verdict, *differences_in_words(result.protocols))
    protocols = (Text(line, style="dim") for line in protocol_lines(result.protocols))
    return Group(*(Text(f"Warning: {each}.") for each in result.warnings), table, *map(Text, words), *protocols)


def compared_metrics(result: RunComparison) -> FittingTable:
    """Return a row for each compared metric."""
    table = FittingTable("Metric", "A", "B", "B - A", "95% interval", "p", "Holm", "Won")
    for each in compared_quantities(result.classes):
        title = f"{each.title} {direction(each.higher_is_better)}"
        table.add_row(title, *_compared_cells(result.metrics[each.name], each.format))
    return table


def _compared_cells(compared: ComparedMetric, form: str) -> list[str]:
    difference = compared.difference
    # A difference of shares is no share: it is shown in points of a percent.
    scale, signed, unit = (100, f"+{form[:-1]}f", " pt") if form.endswith("%") else (1, f"+{form}", "")
    ends = [format(scale * end, signed) for end in difference.ci95 or ()]
    return [
        show_value(compared.a.value, form),
        show_value(compared.b.value, form),
        UNDEFINED if difference.value is None else format(scale * difference.value, signed) + unit,
        ", ".join(ends) or UNDEFINED,
        _bare_p(difference.p_value, at_floor=difference.at_floor),
        _bare_p(difference.p_holm, at_floor=difference.at_floor),
        compared.better or "",
    ]


def _bare_p(p_value: float | None, *, at_floor: bool) -> str:
    """Return a p-value below its column's title: `0.032`, `<0.002`."""
    if p_value is None:
        return UNDEFINED
    return p_in_words(p_value, at_floor=at_floor).removeprefix("p = ").removeprefix("p ").replace(" ", "")
