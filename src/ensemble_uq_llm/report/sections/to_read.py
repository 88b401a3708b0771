"""Examples to read: those that it is least sure of, and those that it gets wrong most surely."""

from collections.abc import Mapping, Sequence
from typing import Any

from ensemble_uq_llm.evaluation.single_examples import read_texts
from ensemble_uq_llm.report.source import ReportSource

LONGEST_TEXT = 20_000
"""Characters that are shown of one example, so that the page stays small whatever the texts are."""

_LISTS = (("most_uncertain", "Most uncertain"), ("most_confidently_wrong", "Most confidently wrong"))


def examples(source: ReportSource) -> dict[str, Any] | None:
    """Return the two lists with texts and votes, as far as they are there."""
    block = source.main.get("examples", {})
    lists = [(title, block[name]) for name, title in _LISTS if block.get(name)]
    if not lists:
        return None
    texts = read_texts(source.folder.examples(source.name), {case["id"] for _, cases in lists for case in cases})
    labels = source.class_labels
    return {
        "lists": [(title, [_card(case, texts.get(case["id"]), labels) for case in cases]) for title, cases in lists],
        "several": source.main["members"] > 1,
    }


def _card(case: Mapping[str, Any], text: str | None, class_labels: Sequence[str]) -> dict[str, Any]:
    label = case["label"]
    return {
        "id": case["id"],
        "text": _cut(text),
        "answer": f"{class_labels[case['prediction']]} {case['confidence']:.1%}",
        "label": None if label is None else class_labels[label],
        "wrong": label is not None and label != case["prediction"],
        "entropy": f"{case['entropy']:.3f}",
        "information": f"{case['mutual_information']:.3f}",
        "votes": [
            {
                "seed": vote["seed"],
                "answer": class_labels[vote["prediction"]],
                "probability": f"{vote['probability']:.0%}",
                "dissents": vote["prediction"] != case["prediction"],
            }
            for vote in case["votes"]
        ],
    }


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"
