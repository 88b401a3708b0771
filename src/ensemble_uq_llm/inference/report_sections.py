"""What each section of the report shows: from the evaluated sets to the values of its template.

A section is one function here, one template `assets/report/NAME.html.j2`, and one line of `report.SECTIONS`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.inference.cases import Case, most_confidently_wrong, most_uncertain, read_texts
from ensemble_uq_llm.inference.evaluate import Evaluation
from ensemble_uq_llm.inference.figures import Group, histogram_figure, histogram_limit, reliability_figure
from ensemble_uq_llm.inference.metrics import METRICS
from ensemble_uq_llm.inference.table import TRUTH_ROWS, UNCERTAINTY_ROWS, show_interval, show_value
from ensemble_uq_llm.run_folder import RunFolder

CASES = 20
"""Examples in each list of single examples."""

UNKNOWN: Mapping[str, Any] = {"value": None, "ci95": None}
"""The estimate of what was not measured."""

Content = dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportSource:
    """Everything that a report is made from."""

    folder: RunFolder
    evaluations: Mapping[str, Evaluation]
    """The evaluated sets; the first is the one that the others are compared with."""
    config: Config | None
    record: Mapping[str, Any]
    """The content of `run.json`, empty where there is none."""

    @property
    def name(self) -> str:
        """The name of the main set."""
        return next(iter(self.evaluations))

    @property
    def main(self) -> Evaluation:
        """The main set."""
        return self.evaluations[self.name]

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.main.uncertainty.probs_NC[0])

    @property
    def class_labels(self) -> tuple[str, ...]:
        """How the classes are called: by the configuration if it fits, else by their index."""
        if self.config is not None and len(self.config.class_labels) == self.classes:
            return self.config.class_labels
        return tuple(f"class {c}" for c in range(self.classes))


def verdict(source: ReportSource) -> str:
    """Return one or two sentences with the numbers that matter most."""
    metrics = source.main.metrics
    who = f"the ensemble of {metrics['members']} members" if metrics["members"] > 1 else "the single member"
    sentences = [f"{_count(metrics['n'], 'unlabelled example')} of {source.name} answered by {who}."]
    if metrics["ensemble"]:
        accuracy, mean = metrics["ensemble"]["accuracy"], metrics["members_mean"]["accuracy"]["value"]
        interval = f" (95% interval {show_interval(accuracy, '.1%')})" if accuracy["ci95"] else ""
        gain = f", {_points(accuracy['value'] - mean)} its mean member" if metrics["members"] > 1 else ""
        claimed = float(source.main.uncertainty.confidence_N[source.main.predictions.labelled_N].mean())
        sentences = [
            f"On {_count(metrics['labelled'], 'labelled example')} of {source.name}, {who} answers "
            f"{accuracy['value']:.1%} correctly{interval}{gain}; it claims {claimed:.1%}, "
            f"{_points(claimed - accuracy['value'])} what it achieves."
        ]
    areas = {
        name: evaluation.metrics["shift"]["auroc"]["mutual_information"]["value"]
        for name, evaluation in source.evaluations.items()
        if "shift" in evaluation.metrics
    }
    if areas and metrics["members"] > 1:
        best = sorted(areas, key=lambda name: -areas[name])[:3]
        listed = ", ".join(f"{areas[name]:.2f} ({name})" for name in best)
        sentences.append(
            f"What the members disagree on (mutual information) separates other sets from it with an AUROC of {listed}."
        )
    return " ".join(sentences)


def numbers(source: ReportSource) -> Content:
    """The headline table: every metric with its interval, the uncertainties, the distance from the truth."""
    metrics = source.main.metrics
    return {
        "metrics": [
            {
                "title": metric.title,
                "direction": "higher is better" if metric.higher_is_better else "lower is better",
                "value": show_value(metrics["ensemble"][metric.name]["value"], metric.format),
                "interval": show_interval(metrics["ensemble"][metric.name], metric.format),
                "mean": show_value(metrics["members_mean"][metric.name]["value"], metric.format),
            }
            for metric in METRICS
            if metrics["ensemble"]
        ],
        "uncertainty": [(title, show_value(metrics["uncertainty"][name], ".4f")) for name, title in UNCERTAINTY_ROWS],
        "truth": [
            (title, show_value(metrics["truth"][name]["value"], form), show_interval(metrics["truth"][name], form))
            for name, title, form in TRUTH_ROWS
            if "truth" in metrics
        ],
        "n": metrics["n"],
        "labelled": metrics["labelled"],
    }


def calibration(source: ReportSource) -> Content | None:
    """The reliability diagram of the main set."""
    predictions, uncertainty = source.main.predictions, source.main.uncertainty
    known_N = predictions.labelled_N
    if not known_N.any():
        return None
    correct_N = (uncertainty.prediction_N == predictions.labels_N)[known_N]
    figure = reliability_figure(uncertainty.confidence_N[known_N], correct_N, classes=source.classes)
    ece = source.main.metrics["ensemble"]["ece"]
    return {"figure": figure, "ece": show_value(ece["value"], ".3f"), "interval": show_interval(ece, ".3f")}


def uncertainty(source: ReportSource) -> Content:
    """Histograms of mutual information and entropy: the main set right and wrong, and every other set."""
    figures = []
    for quantity, title in (("mutual_information", "mutual information"), ("entropy", "entropy")):
        groups = list(_groups(source, f"{quantity}_N"))
        upper = histogram_limit(groups, classes=source.classes)
        figures.append((title.capitalize(), histogram_figure(groups, quantity=title, upper=upper)))
    return {"figures": figures}


def shift(source: ReportSource) -> Content | None:
    """One row a set: is it answered worse, and does uncertainty notice."""
    if len(source.evaluations) < 2:
        return None
    rows = []
    for name, evaluation in source.evaluations.items():
        metrics = evaluation.metrics
        accuracy = metrics["ensemble"].get("accuracy", UNKNOWN)
        auroc = metrics.get("shift", {}).get("auroc", {})
        rows.append(
            {
                "name": name,
                "n": metrics["n"],
                "accuracy": _with_interval(accuracy, ".1%"),
                "entropy": show_value(metrics["uncertainty"]["average_entropy"], ".3f"),
                "information": show_value(metrics["uncertainty"]["average_mutual_information"], ".3f"),
                "auroc": [
                    _with_interval(auroc.get(score, UNKNOWN), ".3f") for score in ("entropy", "mutual_information")
                ],
            }
        )
    return {"rows": rows, "reference": source.name}


def members(source: ReportSource) -> Content | None:
    """One row a member, below the ensemble and their mean."""
    metrics = source.main.metrics
    if not metrics["per_member"]:
        return None

    def row(title: str, values: Mapping[str, Any]) -> tuple[str, list[str]]:
        return title, [show_value(values[metric.name]["value"], metric.format) for metric in METRICS]

    return {
        "titles": [metric.title for metric in METRICS],
        "ensemble": row("Ensemble", metrics["ensemble"]),
        "mean": row("Mean member", metrics["members_mean"]),
        "members": [row(f"Seed {member['seed']}", member) for member in metrics["per_member"]],
    }


def examples(source: ReportSource) -> Content:
    """The examples that the ensemble is least sure of, and those that it gets wrong most surely."""
    lists = [
        ("Most uncertain", most_uncertain(source.main, count=CASES)),
        ("Most confidently wrong", most_confidently_wrong(source.main, count=CASES)),
    ]
    ids = {case.id for _, cases in lists for case in cases}
    texts = read_texts(source.folder.examples(source.name), ids)
    labels = source.class_labels
    return {
        "lists": [(title, [_card(case, texts.get(case.id), labels) for case in cases]) for title, cases in lists],
        "several": len(source.main.predictions.seeds) > 1,
    }


def making(source: ReportSource) -> Content | None:
    """The configuration and the record of the run, as far as they are there."""
    settings = source.config.model_dump(mode="json") if source.config else {}
    content = {"record": list(_flat(source.record)), "settings": list(_flat(settings))}
    return content if any(content.values()) else None


def _groups(source: ReportSource, field: str) -> Iterator[Group]:
    predictions, measured = source.main.predictions, source.main.uncertainty
    values_N, known_N = getattr(measured, field), predictions.labelled_N
    correct_N = known_N & (measured.prediction_N == predictions.labels_N)
    parts = (("answered correctly", "correct", correct_N), ("answered wrongly", "wrong", known_N & ~correct_N))
    for what, style, chosen_N in (*parts, ("unlabelled", "unlabelled", ~known_N)):
        if chosen_N.any():
            yield Group(name=f"{source.name}, {what}", style=style, values_N=values_N[chosen_N])
    for name, evaluation in source.evaluations.items():
        if name != source.name:
            yield Group(name=name, style="shifted", values_N=getattr(evaluation.uncertainty, field))


def _card(case: Case, text: str | None, class_labels: tuple[str, ...]) -> Content:
    return {
        "id": case.id,
        "text": text,
        "answer": f"{class_labels[case.prediction]} {case.confidence:.1%}",
        "label": None if case.label is None else class_labels[case.label],
        "wrong": case.label is not None and case.label != case.prediction,
        "entropy": f"{case.entropy:.3f}",
        "information": f"{case.mutual_information:.3f}",
        "votes": [
            {
                "seed": vote.seed,
                "answer": class_labels[vote.prediction],
                "probability": f"{vote.probability:.0%}",
                "dissents": vote.prediction != case.prediction,
            }
            for vote in case.votes
        ],
    }


def _with_interval(estimate: Mapping[str, Any], form: str) -> tuple[str, str]:
    return show_value(estimate["value"], form), show_interval(estimate, form) if estimate["ci95"] else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def _points(difference: float) -> str:
    if abs(difference) < 0.0005:
        return "the same as"
    return f"{100 * abs(difference):.1f} points {'above' if difference > 0 else 'below'}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            listed = ", ".join(str(part) for part in value) if isinstance(value, list) else value
            yield f"{prefix}{key}", "null" if listed is None else str(listed)
