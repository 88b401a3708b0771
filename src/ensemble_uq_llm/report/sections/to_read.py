"""Examples to read: those that it is least sure of, and those that it gets wrong most surely."""

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.records import SingleExample, Vote
from ensemble_uq_llm.evaluation.single_examples import read_texts
from ensemble_uq_llm.report.source import ReportSource

LONGEST_TEXT = 20_000
"""Characters that are shown of one example, so that the page stays small whatever the texts are."""


@dataclass(frozen=True, kw_only=True)
class VotePill:
    """One member's vote."""

    member: str
    answer: str
    probability: str
    dissents: bool
    """Whether it differs from the ensemble's answer."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One example, as the page shows it."""

    id: str
    text: str | None
    answer: str
    label: str | None
    wrong: bool
    entropy: str
    information: str
    votes: Sequence[VotePill]


def to_read(source: ReportSource) -> Sequence[tuple[str, Sequence[Card]]] | None:
    """Return the two lists by their titles, with texts and votes, as far as they are there."""
    examples = source.main.examples
    if examples is None:
        return None
    titled = (
        ("The members disagree most" if source.main.several else "Most uncertain", examples.most_uncertain),
        ("Most confidently wrong", examples.most_confidently_wrong),
    )
    path, shown = source.folder.examples(source.name), {each.id for _, those in titled for each in those}
    texts = read_texts(path, shown) if source.folder.has(path) else {}
    labels = source.class_labels
    lists = [(title, [_card(each, texts.get(each.id), labels) for each in those]) for title, those in titled if those]
    return lists or None


def _card(example: SingleExample, text: str | None, class_labels: Sequence[str]) -> Card:
    return Card(
        id=example.id,
        text=_cut(text),
        answer=f"{class_labels[example.prediction]} {example.confidence:.1%}",
        label=None if example.label is None else class_labels[example.label],
        wrong=example.label is not None and example.label != example.prediction,
        entropy=f"{example.entropy:.3f}",
        information=f"{example.mutual_information:.3f}",
        votes=[_pill(vote, example, class_labels) for vote in example.votes],
    )


def _pill(vote: Vote, example: SingleExample, class_labels: Sequence[str]) -> VotePill:
    return VotePill(
        member=vote.member.title if vote.member.sample else f"{vote.member.seed}",
        answer=class_labels[vote.prediction],
        probability=f"{vote.probability:.0%}",
        dissents=vote.prediction != example.prediction,
    )


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"
