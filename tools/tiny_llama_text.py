"""The text that the tiny LLaMA is pre-trained on: reading prompts of the synthetic world, and restatements.

A document is a prompt as the adapters will see it, followed by a restatement: the asked habit with its
frequency word first ("Usually Anna drinks tea."), then some of the passage's other habits. Made-up names
and frequency words make the lookup a general copy. Some questions ask for a habit that is missing or stated
in two incompatible ways, and the restatement says so ("Nobody knows whether ...", "Accounts differ whether
..."): any large language model has read enough to notice missing and conflicting information, so this one
should too. Half of the questions keep the name's capital letter, which ties the two spellings together.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from ensemble_uq_llm.data.embedded import synthetic, world
from ensemble_uq_llm.data.embedded.world import Activity, Fact, capitalised

MADE_UP_PEOPLE, MADE_UP_WORDS, ABSENT, CONTRADICTORY = 0.3, 0.1, 0.1, 0.1
# A passage that has not yet stated the asked habit leaves "Nobody" as its opening; all of them would be
# half of what is scored.
EARLY_NOBODY: Final = 0.4
ONSETS = ("b", "br", "c", "d", "dr", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "r", "s",
          "st", "t", "tr", "v", "w", "z")  # fmt: skip
VOWELS, CODAS = "aeiou", ("", "l", "m", "n", "r", "s", "x", "nd", "st")
# Names that no text has: a set of questions about strangers was made of them. It is gone, for the model ignores who is
# asked about; its names stay out, so that the text remains the one that the shipped model has read.
STRANGERS: Final = (
    "Abrelin", "Bostrava", "Cindroma", "Dorwick", "Elsomir", "Fenaldo", "Gravina", "Hestrel", "Ilvondo",
    "Jorvane", "Kestrom", "Lunavik", "Mirabend", "Nostrila", "Orvalin", "Pendrosa", "Quintavo",
    "Rostavel", "Silbrano", "Tarvindo", "Ulmerica", "Velastro", "Wendralo", "Zorvinka",
)  # fmt: skip
RESERVED: Final = frozenset((*STRANGERS, *world.UNKNOWN_WORDS, *world.P_YES))
NEGATIVE: Final = frozenset(word.text for word in world.WORDS if word.negative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A reading prompt (header and sentences of the passage) and the restatement that continues it.

    `openings` holds, for each sentence of the passage, the word by which the restatement would begin if
    the passage ended there; None where that is not scored.
    """

    header: str
    sentences: list[str]
    openings: list[str | None]
    restatement: str


def made_up(rng: Random, *, ending: str = "") -> str:
    """Return a made-up word of two or three syllables that is none of the reserved unknown ones."""
    while True:
        n = rng.randint(1, 2)
        stem = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(n))
        word = stem + (ending or rng.choice(VOWELS))
        if not {word, capitalised(word)} & RESERVED:
            return word


def answer(person: str, activity: Activity, facts: list[Fact]) -> str:
    """Return the sentence that restates what the facts say about one habit."""
    said = [fact for fact in facts if (fact.person, fact.activity) == (person, activity)]
    if len(said) != 1:
        opening = "Accounts differ" if said else "Nobody knows"
        return f"{opening} whether {person} {activity.third} {activity.rest}."
    word = capitalised(said[0].word)
    if said[0].word in NEGATIVE:
        return f"{word} does {person} {activity.base} {activity.rest}."
    return f"{word} {person} {activity.third} {activity.rest}."


def draw_document(rng: Random, *, n_facts: int) -> Document:
    """Return one document whose passage has n_facts facts (one more where it contradicts itself)."""
    people = world.PEOPLE
    if rng.random() < MADE_UP_PEOPLE:
        people = tuple(sorted({capitalised(made_up(rng)) for _ in range(2 * n_facts)}))
    facts = [
        replace(fact, word=made_up(rng, ending="ly")) if rng.random() < MADE_UP_WORDS else fact
        for fact in world.draw_facts(rng, n=n_facts, people=people)
    ]
    asked = rng.choice(facts)
    person, activity = asked.person, asked.activity
    kind = rng.random()
    if kind < ABSENT:
        person, activity = synthetic.draw_absent(rng, facts)
    elif kind < ABSENT + CONTRADICTORY:
        words = rng.sample(rng.choice(world.OPPOSITE_WORDS), 2)
        facts[facts.index(asked)] = replace(asked, word=words[0])
        facts.insert(rng.randrange(len(facts) + 1), replace(asked, word=words[1]))
    answers = [answer(person, activity, facts[: end + 1]) for end in range(len(facts))]
    words = [text.split()[0] for text in answers]
    last = len(words) - 1
    scored = [i == last or word != "Nobody" or rng.random() < EARLY_NOBODY for i, word in enumerate(words)]
    others = [fact for fact in facts if (fact.person, fact.activity) != (person, activity)]
    rng.shuffle(others)
    asks = world.question(person, activity)
    asks = asks.replace(person.lower(), person, 1) if rng.random() < 0.5 else asks
    return Document(
        header=f"Question: {asks} Context:",
        sentences=[f" {world.statement(fact)}" for fact in facts],
        openings=[word if keep else None for word, keep in zip(words, scored, strict=True)],
        restatement=" ".join(["", answers[-1], *(world.statement(fact) for fact in others[:3])]),
    )
