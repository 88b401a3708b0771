"""What is concluded of a set, in sentences: the same on the page, in the terminal and above pasted tables."""

from collections.abc import Mapping, Sequence

from ensemble_uq_llm.evaluation.conclusions.findings import is_better, is_worse
from ensemble_uq_llm.evaluation.records import Finding, FindingKind, SetMetrics
from ensemble_uq_llm.evaluation.scores import BASELINE
from ensemble_uq_llm.report.formats import METRIC_BY_NAME, difference_in_words, score_in_text, show_value
from ensemble_uq_llm.utils.text import counted, enumerated

_METRIC_IN_TEXT = {"accuracy": "accuracy", "auc": "ROC AUC"}

_CLASSES = 5
"""Classes that are counted one by one."""

_MEMBERS = 5
"""Members that are named."""


def unnamed_classes(metrics: SetMetrics) -> tuple[str, ...]:
    """Return how the classes are called where no run names them: as the predictions' giver says, or by index."""
    return metrics.class_names or tuple(f"class {c}" for c in range(metrics.classes))


def findings_in_words(metrics: SetMetrics, class_labels: Sequence[str] | None = None) -> list[str]:
    """Return a sentence or two for each thing that whoever uses the answers should know first.

    Args:
        metrics: of the set.
        class_labels: how the classes are called; by their index without.
    """
    labels = class_labels or unnamed_classes(metrics)
    by_kind: dict[FindingKind, list[Finding]] = {}
    for finding in metrics.findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    harms = by_kind.get("ensemble_hurts", ())
    return [
        *(_worse_but_surer(metrics, each) for each in by_kind.get("worse_but_surer", ())),
        *([_harm(harms)] if harms else []),
        *(_one_class(each, labels) for each in by_kind.get("one_class", ())),
        *(_constant_members(metrics, each, labels) for each in by_kind.get("constant_members", ())),
        *(_constant_ensemble(each, labels) for each in by_kind.get("constant_ensemble", ())),
        *_unlearned(metrics, by_kind, labels),
    ]


def classes_in_words(metrics: SetMetrics, class_labels: Sequence[str] | None = None) -> list[str]:
    """Return how balanced the classes are, and what one answer for all would earn; nothing without labels."""
    labels, constant, by_class = class_labels or unnamed_classes(metrics), metrics.constant_answers, metrics.by_class
    if constant is None or by_class is None:
        return []
    if len(by_class.classes) <= _CLASSES:
        balance = enumerated([f"{each.n:,} {_name(labels, each.label)}" for each in by_class.classes])
    else:
        counts = [each.n for each in by_class.classes]
        balance = f"{len(counts)} classes of {min(counts):,} to {counts[constant.majority]:,} examples"
    always = {
        name: show_value(beside.value.value, METRIC_BY_NAME[name].format) for name, beside in constant.metrics.items()
    }
    alike = {name: show_value(metrics.ensemble[name].value, ".1%") for name in ("balanced_accuracy", "macro_f1")}
    return [
        f"Labels: {balance}. Always answering {_name(labels, constant.majority)} would be right in "
        f"{always['accuracy']}; always giving the classes' frequencies has an NLL of {always['nll']} and a Brier score "
        f"of {always['brier']}.",
        f"With every class weighed alike: balanced accuracy {alike['balanced_accuracy']}, macro F1 "
        f"{alike['macro_f1']}.",
    ]


def other_findings_in_words(sets: Mapping[str, SetMetrics], class_labels: Sequence[str] | None = None) -> list[str]:
    """Return what the numbers of all sets but the main one say, each after the set's name."""
    return [
        sentence if metrics.name in sentence else f"{metrics.name}: {sentence}"
        for metrics in sets.values()
        if metrics.role != "main"
        for sentence in findings_in_words(metrics, class_labels)
    ]


def _worse_but_surer(metrics: SetMetrics, finding: Finding) -> str:
    by = enumerated(["confidence" if score == BASELINE else score_in_text(score) for score in finding.scores])
    return (
        f"Beware of {metrics.name}: it is answered worse than {metrics.reference}, {_numbers(finding)}, while by its "
        f"{by} {'the ensemble' if metrics.several else 'the model'} is surer of it."
    )


def _one_class(finding: Finding, labels: Sequence[str]) -> str:
    name = _name(labels, finding.label)
    who = "The only label is" if finding.n == 1 else f"All {counted(finding.n, 'label')} are"
    return (
        f"{who} {name}: what needs two classes, such as the ROC AUC, is "
        f"undefined or says nothing, and always answering {name} would be right every time."
    )


def _constant_members(metrics: SetMetrics, finding: Finding, labels: Sequence[str]) -> str:
    if len(finding.members) == metrics.members:
        who, verb = ("Every member" if metrics.several else "It"), "gives"
    else:
        titles = [member.title for member in finding.members[:_MEMBERS]]
        more = len(finding.members) - len(titles)
        who = enumerated([*titles, *([counted(more, "more", "more")] if more else [])])
        who, verb = who[:1].upper() + who[1:], "give" if len(finding.members) > 1 else "gives"
    answer = _name(labels, finding.label)
    return f"{who} {verb} one answer, {answer}, to all {counted(finding.n, 'example')}, whatever is asked."


def _constant_ensemble(finding: Finding, labels: Sequence[str]) -> str:
    answer = _name(labels, finding.label)
    return f"The ensemble gives one answer, {answer}, to all {counted(finding.n, 'example')}, whatever is asked."


def _unlearned(
    metrics: SetMetrics, by_kind: Mapping[FindingKind, Sequence[Finding]], labels: Sequence[str]
) -> list[str]:
    accuracy, nll = (next(iter(by_kind.get(kind, ())), None) for kind in ("not_above_majority", "not_below_prior"))
    constant = metrics.constant_answers
    if accuracy and nll:
        examples = counted(accuracy.n, "example")
        if (_gain(accuracy) or 0) > 0 > (_gain(nll) or 0):
            lead = f"Whether it has learned anything cannot be told from {examples}:"
        elif metrics.role == "main":
            lead = f"Nothing shows that it has learned anything: on {examples}"
        else:
            lead = f"Nothing that it has learned shows here: on {examples}"
        return [f"{lead} {_beside_majority(accuracy, labels)}, and {_beside_prior(nll)}."]
    if accuracy and constant:
        said = f"{_beside_majority(accuracy, labels)}."
        if is_better("nll", constant.metrics["nll"].gain):
            said += " Its probabilities do say more than the classes' frequencies, so rank by them."
        return [f"Its answers are not shown to be worth more than one for all: {said}"]
    if nll and nll.difference:
        remedy = "; it is too sure of wrong answers, which a temperature may mend (give a calibration set)"
        said = f"Its answers are right more often than one for all, but {_beside_prior(nll)}"
        return [f"{said}{remedy if is_worse('nll', nll.difference) else ''}."]
    return []


def _gain(finding: Finding) -> float | None:
    return finding.difference.value if finding.difference else None


def _beside_majority(finding: Finding, labels: Sequence[str]) -> str:
    answer = _name(labels, finding.label)
    if finding.difference and is_worse("accuracy", finding.difference):
        return f"its accuracy is below that of always answering {answer}, {_numbers(finding)}"
    return f"its accuracy cannot be told from that of always answering {answer}, {_numbers(finding)}"


def _beside_prior(finding: Finding) -> str:
    worse = finding.difference is not None and is_worse("nll", finding.difference)
    how = "are worse than" if worse else "cannot be told to be better than"
    return f"its probabilities {how} the classes' frequencies, NLL {_numbers(finding)}"


def _harm(findings: Sequence[Finding]) -> str:
    said = enumerated([f"its {_METRIC_IN_TEXT[each.metric or '']} {_numbers(each)}" for each in findings])
    return (
        f"Pooling hurts: the ensemble is worse than its mean member, {said}. Look at each member, and use one alone or "
        "leave out who spoils it."
    )


def _numbers(finding: Finding) -> str:
    """Return both values and their difference with its interval."""
    form = METRIC_BY_NAME[finding.metric or "accuracy"].format
    beside = f"{show_value(finding.value, form)} against {show_value(finding.other, form)}"
    return beside if finding.difference is None else f"{beside} ({difference_in_words(finding.difference, form)})"


def _name(labels: Sequence[str], label: int | None) -> str:
    return f"'{labels[label or 0]}'"
