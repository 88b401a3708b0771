"""Metrics and comparisons as tables for the terminal, 80 columns wide at most."""

from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ensemble_uq_llm.evaluation.comparison import compared_quantities
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
from ensemble_uq_llm.report.formats import (
    UNCERTAINTY_ROWS,
    UNDEFINED,
    debiased_in_words,
    direction,
    show_interval,
    show_value,
)
from ensemble_uq_llm.statistics.intervals import Estimate, Interval
from ensemble_uq_llm.utils.text import counted


def headline_table(name: str, metrics: SetMetrics) -> RenderableType:
    """Return what is to be said of one evaluated set: its metrics, uncertainties and distance from the truth."""
    caption = counted(metrics.n, "example")
    if metrics.labelled < metrics.n:
        caption += f", {metrics.labelled:,} of them labelled"
    caption += f", {counted(metrics.members, 'member')}"
    parts: list[RenderableType] = [Text.assemble((name, "bold"), "  ", (caption, "dim"))]
    if metrics.ensemble:
        parts.append(_metric_table(metrics))
        if metrics.ensemble["ece"].noise_floor:
            parts.append(_calibration_table(metrics.ensemble))
    parts.append(_uncertainty_table(metrics.uncertainty))
    if metrics.truth:
        parts.append(_truth_table(metrics.truth))
    parts += [Text(sentence) for sentence in _sentences(metrics)]
    return Group(*parts)


def shift_table(sets: Mapping[str, SetMetrics]) -> Table:
    """Return one row a set: is it answered worse, and does uncertainty tell it from the reference set."""
    table = _table("Set", "n", "Accuracy", "95%, in %", "Entropy", "MI", "AUROC\nentropy", "AUROC\nMI")
    table.collapse_padding = True
    table.columns[0].no_wrap = True
    for name, metrics in sets.items():
        accuracy = metrics.ensemble["accuracy"] if metrics.ensemble else Estimate(value=None, ci95=None)
        averages = metrics.uncertainty
        table.add_row(
            Text(name),
            f"{metrics.n:,}",
            show_value(accuracy.value, ".1%"),
            _percent_range(accuracy.ci95),
            show_value(averages["average_entropy"], ".3f"),
            show_value(averages["average_mutual_information"], ".3f"),
            _auroc(metrics, "entropy"),
            _auroc(metrics, "mutual_information"),
        )
    return table


def _percent_range(interval: Interval | None) -> str:
    """Return an interval of shares in the fewest characters, for a table of many columns."""
    if interval is None:
        return UNDEFINED
    low, high = (f"{100 * end:.1f}" for end in interval)
    return f"{low}–{high}"  # noqa: RUF001 (an en dash is what a range has)


def _auroc(metrics: SetMetrics, score: str) -> str:
    return UNDEFINED if metrics.shift is None else show_value(metrics.shift.numbers["auroc"][score].value, ".3f")


def _metric_table(metrics: SetMetrics) -> Table:
    table = _table("Metric", "Ensemble", "95% interval", "Mean member")
    for metric in HEADLINE:
        estimate = metrics.ensemble[metric.name]
        if estimate.noise_floor:
            continue
        table.add_row(
            f"{metric.title} {direction(metric.higher_is_better)}",
            Text(show_value(estimate.value, metric.format), style="bold"),
            show_interval(estimate.ci95, metric.format),
            show_value(metrics.members_mean[metric.name].value, metric.format),
        )
    return table


def _calibration_table(estimates: Mapping[str, MetricEstimate]) -> Table:
    """Return the calibration errors beside what a perfectly calibrated ensemble would show on as many examples."""
    table = _table("Calibration error ↓", "Ensemble", "Without noise", "If calibrated", "at most*")
    table.collapse_padding = True
    for column in table.columns:
        column.no_wrap = False  # a narrow terminal breaks between words, never within a number
    for metric in METRICS:
        estimate = estimates.get(metric.name)
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
    table.caption_justify = "left"
    return table


def _sentences(metrics: SetMetrics) -> list[str]:
    """Return the answers that need no table: which score, how many members, what calibration changes."""
    sentences = []
    if metrics.best_score:
        sentences.append(f"Which score to abstain by? {metrics.best_score.answer}")
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
    nll, ece = (
        " to ".join(show_value(estimates[name].value, ".3f") for estimates in (before, after))
        for name in ("nll", "ece")
    )
    return (
        f"A temperature of {temperature.value:.2f}{bound}, fitted on {scaling.calibration.n:,} other examples, "
        f"changes the NLL from {nll} and the ECE from {ece}."
    )


def _conformal_sentence(conformal: Conformal) -> str:
    sets = conformal.methods["lac"]["0.90"]
    return (
        f"Conformal sets for 90%: {show_value(sets.coverage.value, '.1%')} hold the label "
        f"({show_interval(sets.coverage.ci95, '.1%')}), with {show_value(sets.mean_size.value, '.2f')} classes on "
        "average."
    )


def _uncertainty_table(averages: Mapping[str, float]) -> Table:
    table = _table("Uncertainty", "Average")
    for name, title in UNCERTAINTY_ROWS:
        table.add_row(title, show_value(averages[name], ".4f"))
    return table


def _truth_table(truth: Mapping[str, Estimate]) -> Table:
    table = _table("Against the true probabilities", "Ensemble", "95% interval")
    for each in TRUTH_NUMBERS:
        estimate = truth[each.name]
        table.add_row(each.title, show_value(estimate.value, each.format), show_interval(estimate.ci95, each.format))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for header in others:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def comparison_table(result: RunComparison) -> RenderableType:
    """Return two runs compared as a table of at most 80 columns, with what it means in words."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    table.add_column("Metric", overflow="fold")
    for header in ("A", "B", "B - A", "95% interval", "p", "Holm", "Won"):
        table.add_column(header, justify="right", no_wrap=True)
    for each in compared_quantities(result.classes):
        title = f"{each.title} {direction(each.higher_is_better)}"
        table.add_row(title, *_compared_cells(result.metrics[each.name], each.format))
    test = result.mcnemar
    answers = f"Right answers of A only: {test.only_a:,}; of B only: {test.only_b:,}"
    errors = "Differences of calibration errors are those of the errors without noise."
    words = (errors, f"{answers}; exact McNemar test p = {test.p_value:.2g}.", result.verdict)
    return Group(*(Text(f"Warning: {each}.") for each in result.warnings), table, *map(Text, words))


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
        show_value(difference.p_value, ".3f"),
        show_value(difference.p_holm, ".3f"),
        compared.better or "",
    ]
