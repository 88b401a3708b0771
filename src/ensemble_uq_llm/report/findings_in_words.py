"""What is concluded of a set, in sentences: the same on the page, in the terminal and above pasted tables."""

from collections.abc import Mapping, Sequence

from ensemble_uq_llm.evaluation.conclusions.findings import is_better, is_worse
from ensemble_uq_llm.evaluation.records import Finding, FindingKind, SetMetrics
from ensemble_uq_llm.report.formats import METRIC_BY_NAME, difference_in_words, show_value
from ensemble_uq_llm.utils.text import counted, enumerated

_MEMBERS = 5
"""Members that are named."""


def unnamed_classes(metrics: SetMetrics) -> tuple[str, ...]:
    """Return how the classes are called where nobody has named them."""
    return tuple(f"class {c}" for c in range(metrics.classes))


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
    sentences = [_worse_but_surer(metrics, each) for each in by_kind.get("worse_but_surer", ())]
    sentences += [_one_class(each, labels) for each in by_kind.get("one_class", ())]
    sentences += [_constant_members(metrics, each, labels) for each in by_kind.get("constant_members", ())]
    sentences += [_constant_ensemble(each, labels) for each in by_kind.get("constant_ensemble", ())]
    sentences += _unlearned(metrics, by_kind, labels)
    return sentences + [_harm(each) for each in by_kind.get("ensemble_hurts", ())]


def _worse_but_surer(metrics: SetMetrics, finding: Finding) -> str:
    return (
        f"Beware of {metrics.name}: it is answered worse than {metrics.reference}, {_numbers(finding)}, while the "
        "ensemble is surer of it, so its uncertainty does not warn."
    )


def _one_class(finding: Finding, labels: Sequence[str]) -> str:
    name = _name(labels, finding.label)
    return (
        f"The {counted(finding.n, 'label')} show {name} alone: what needs two classes, such as the ROC AUC, is "
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
    if accuracy and nll:
        said = f"{_beside_majority(accuracy, labels)}; nor are its probabilities {_beside_prior(nll)}."
        return [f"Nothing shows that it has learned anything: {said}"]
    constant = metrics.constant_answers
    if accuracy and constant:
        said = f"Its answers are worth no more than one for all: {_beside_majority(accuracy, labels)}."
        if is_better("nll", constant.metrics["nll"].gain):
            said += " Its probabilities do say more than the classes' frequencies, so rank by them."
        return [said]
    if nll and nll.difference:
        worse = is_worse("nll", nll.difference)
        remedy = "; it is too sure of wrong answers, which a temperature may mend (give a calibration set)"
        return [f"Its probabilities are not shown to be {_beside_prior(nll)}{remedy if worse else ''}."]
    return []


def _beside_majority(finding: Finding, labels: Sequence[str]) -> str:
    answer, examples = _name(labels, finding.label), counted(finding.n, "example")
    if finding.difference and is_worse("accuracy", finding.difference):
        return f"on {examples} always answering {answer} would be right more often, {_numbers(finding)}"
    return (
        f"on {examples} its accuracy cannot be told to be above that of always answering {answer}, {_numbers(finding)}"
    )


def _beside_prior(finding: Finding) -> str:
    worse = finding.difference is not None and is_worse("nll", finding.difference)
    return f"better than always giving the classes' frequencies{' but worse' if worse else ''}, NLL {_numbers(finding)}"


def _harm(finding: Finding) -> str:
    title = METRIC_BY_NAME[finding.metric or "accuracy"].title
    name = title if title.isupper() or "AUC" in title else title.lower()
    return (
        f"Pooling hurts: the ensemble's {name} is below that of its mean member, {_numbers(finding)}. Look at each "
        "member, and use one alone or leave out who spoils it."
    )


def _numbers(finding: Finding) -> str:
    """Return both values and their difference with its interval."""
    form = METRIC_BY_NAME[finding.metric or "accuracy"].format
    beside = f"{show_value(finding.value, form)} against {show_value(finding.other, form)}"
    return beside if finding.difference is None else f"{beside} ({difference_in_words(finding.difference, form)})"


def _name(labels: Sequence[str], label: int | None) -> str:
    return f"'{labels[label or 0]}'"
