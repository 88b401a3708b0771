"""The metrics JSON as tables for the terminal, 80 columns wide at most."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ensemble_uq_llm.evaluation.comparison import compared_quantities
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS, Metric
from ensemble_uq_llm.evaluation.scores import Quantity

UNDEFINED = "—"

TRUTH_ROWS = (
    ("mean_absolute_error", "Mean |p - true p|", ".3f"),
    ("kl", "KL(true || predicted), nats", ".3f"),
    ("bayes_accuracy", "Bayes accuracy (the ceiling)", ".1%"),
    ("accuracy_of_bayes", "Accuracy / Bayes accuracy", ".1%"),
    ("bayes_decisions", "Bayes decisions matched", ".1%"),
    ("calibration_error", "ECE against the true probability", ".3f"),
    ("aleatoric_correlation", "Expected entropy ~ true entropy, r", ".3f"),
    ("aleatoric_rank_correlation", "The same of their ranks", ".3f"),
    ("aleatoric_gap", "Expected minus true entropy, nats", "+.3f"),
)
"""Name, title and format of the rows of the `truth` block."""

UNCERTAINTY_ROWS = (
    ("average_entropy", "Entropy (total), nats"),
    ("average_expected_entropy", "Expected entropy (aleatoric)"),
    ("average_mutual_information", "Mutual information (epistemic)"),
    ("average_variance", "Variance"),
)
"""Name and title of the rows of the `uncertainty` block."""


def show_value(value: float | None, form: str) -> str:
    """Return a value in its format; a dash where it is undefined."""
    return UNDEFINED if value is None else format(value, form)


def show_interval(estimate: Mapping[str, Any], form: str) -> str:
    """Return an estimate's 95% interval; a dash where it is undefined."""
    if not estimate.get("ci95"):
        return UNDEFINED
    low, high = (format(end, form) for end in estimate["ci95"])
    return f"{low} to {high}"


def direction(higher_is_better: bool | None) -> str:
    """Return the arrow that says which way is better; empty where neither is."""
    return {True: "↑", False: "↓", None: ""}[higher_is_better]


def headline_table(name: str, metrics: Mapping[str, Any]) -> RenderableType:
    """Return what is to be said of one evaluated set: its metrics, uncertainties and distance from the truth."""
    n, labelled = metrics["n"], metrics.get("labelled", metrics["n"])
    members = metrics["members"]
    caption = f"{n:,} example{'s' if n > 1 else ''}" + (f", {labelled:,} of them labelled" if labelled < n else "")
    caption += f", {members} member{'s' if members > 1 else ''}"
    parts: list[RenderableType] = [Text.assemble((name, "bold"), "  ", (caption, "dim"))]
    if metrics["ensemble"]:
        parts.append(_metric_table(metrics))
        if "noise_floor" in metrics["ensemble"]["ece"]:
            parts.append(_calibration_table(metrics["ensemble"]))
    parts.append(_uncertainty_table(metrics["uncertainty"]))
    if "truth" in metrics:
        parts.append(_truth_table(metrics["truth"]))
    parts += [Text(sentence) for sentence in _sentences(metrics)]
    return Group(*parts)


def shift_table(metrics_by_name: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return one row a set: is it answered worse, and does uncertainty tell it from the reference set."""
    table = _table("Set", "n", "Accuracy", "95%, in %", "Entropy", "MI", "AUROC\nentropy", "AUROC\nMI")
    table.collapse_padding = True
    table.columns[0].no_wrap = True
    for name, metrics in metrics_by_name.items():
        accuracy = metrics["ensemble"].get("accuracy", {"value": None})
        auroc = metrics.get("shift", {}).get("auroc", {})
        averages = metrics["uncertainty"]
        table.add_row(
            Text(name),
            f"{metrics['n']:,}",
            show_value(accuracy["value"], ".1%"),
            _percent_range(accuracy),
            show_value(averages["average_entropy"], ".3f"),
            show_value(averages["average_mutual_information"], ".3f"),
            show_value(auroc.get("entropy", {}).get("value"), ".3f"),
            show_value(auroc.get("mutual_information", {}).get("value"), ".3f"),
        )
    return table


def _percent_range(estimate: Mapping[str, Any]) -> str:
    """Return an interval of shares in the fewest characters, for a table of many columns."""
    if not estimate.get("ci95"):
        return UNDEFINED
    low, high = (f"{100 * end:.1f}" for end in estimate["ci95"])
    return f"{low}–{high}"  # noqa: RUF001 (an en dash is what a range has)


def _metric_table(metrics: Mapping[str, Any]) -> Table:
    table = _table("Metric", "Ensemble", "95% interval", "Mean member")
    for metric in HEADLINE:
        if "noise_floor" in metrics["ensemble"][metric.name]:
            continue
        estimate = metrics["ensemble"][metric.name]
        table.add_row(
            f"{metric.title} {direction(metric.higher_is_better)}",
            Text(show_value(estimate["value"], metric.format), style="bold"),
            show_interval(estimate, metric.format),
            show_value(metrics["members_mean"][metric.name]["value"], metric.format),
        )
    return table


def _calibration_table(estimates: Mapping[str, Any]) -> Table:
    """Return the calibration errors beside what a perfectly calibrated ensemble would show on as many examples."""
    table = _table("Calibration error ↓", "Ensemble", "95% interval", "If calibrated", "at most*")
    for metric in METRICS:
        estimate = estimates.get(metric.name, {})
        if "noise_floor" not in estimate:
            continue
        floor = estimate["noise_floor"]
        table.add_row(
            metric.title,
            Text(show_value(estimate["value"], metric.format), style="bold"),
            show_interval(estimate, metric.format),
            show_value(floor["mean"], metric.format),
            show_value(floor["p95"], metric.format),
        )
    table.caption = "* in 95 of 100 draws; an error below it may be noise"
    table.caption_justify = "left"
    return table


def _sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Return the answers that need no table: which score, how many members, what calibration changes."""
    sentences = []
    if "best_score" in metrics:
        sentences.append(f"Which score to abstain by? {metrics['best_score']['answer']}")
    if "size_curve" in metrics:
        sentences.append(f"Do I need them all? {metrics['size_curve']['answer']}")
    if "temperature" in metrics:
        block, before = metrics["temperature"], metrics["ensemble"]
        after = block["pooled"]["after"]
        bound = " (the bound: fit it on more)" if block["pooled"]["at_bound"] else ""
        sentences.append(
            f"A temperature of {block['pooled']['temperature']:.2f}{bound}, fitted on {block['calibration']['n']:,} "
            f"other examples, changes the NLL from {show_value(before['nll']['value'], '.3f')} to "
            f"{show_value(after['nll']['value'], '.3f')} and the ECE from {show_value(before['ece']['value'], '.3f')} "
            f"to {show_value(after['ece']['value'], '.3f')}."
        )
    if "conformal" in metrics:
        sets = metrics["conformal"]["methods"]["lac"]["0.90"]
        sentences.append(
            f"Conformal sets for 90%: {sets['coverage']['value']:.1%} hold the label "
            f"({show_interval(sets['coverage'], '.1%')}), with {sets['mean_size']['value']:.2f} classes on average."
        )
    return sentences


def _uncertainty_table(averages: Mapping[str, float]) -> Table:
    table = _table("Uncertainty", "Average")
    for name, title in UNCERTAINTY_ROWS:
        table.add_row(title, show_value(averages[name], ".4f"))
    return table


def _truth_table(truth: Mapping[str, Any]) -> Table:
    table = _table("Against the true probabilities", "Ensemble", "95% interval")
    for name, title, form in TRUTH_ROWS:
        table.add_row(title, show_value(truth[name]["value"], form), show_interval(truth[name], form))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for header in others:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def comparison_table(result: Mapping[str, Any]) -> RenderableType:
    """Return the result of `compare_predictions` as a table of at most 80 columns, with what it means in words."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    table.add_column("Metric", overflow="fold")
    for header in ("A", "B", "B - A", "95% interval", "p", "Holm", "Won"):
        table.add_column(header, justify="right", no_wrap=True)
    for each in compared_quantities(result["classes"]):
        table.add_row(
            f"{each.title} {direction(each.higher_is_better)}",
            *_cells(each, result["metrics"][each.name]),
        )
    test = result["mcnemar"]
    answers = f"Right answers of A only: {test['only_a']:,}; of B only: {test['only_b']:,}"
    words = (f"{answers}; exact McNemar test p = {test['p_value']:.2g}.", result["verdict"])
    return Group(*(Text(f"Warning: {each}.") for each in result["warnings"]), table, *map(Text, words))


def _cells(each: Metric | Quantity, compared: Mapping[str, Any]) -> list[str]:
    difference = compared["difference"]
    # A difference of shares is no share: it is shown in points of a percent.
    scale, form, unit = (
        (100, f"+{each.format[:-1]}f", " pt") if each.format.endswith("%") else (1, f"+{each.format}", "")
    )
    ends = [format(scale * end, form) for end in difference["ci95"] or ()]
    return [
        *(show_value(compared[side]["value"], each.format) for side in ("A", "B")),
        UNDEFINED if difference["value"] is None else format(scale * difference["value"], form) + unit,
        ", ".join(ends) or UNDEFINED,
        *(show_value(difference[p], ".3f") for p in ("p_value", "p_holm")),
        compared["better"] or "",
    ]
