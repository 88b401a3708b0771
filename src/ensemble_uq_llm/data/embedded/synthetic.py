"""Yes/no reading questions whose true probability of yes is known, in distribution and shifted.

Every set is a deterministic stream: example i of a set depends on the set's name, the seed and i alone,
so that a larger n keeps the first examples. `train` and `validation` are different streams.

Where no reader could know the answer, the truth is what a reader can at best believe. An unknown word
and a missing fact leave the words' overall mean, which is 0.5; two incompatible words leave the mean of
their probabilities, and only pairs with mean 0.5 are used. Labels are drawn from these beliefs.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from ensemble_uq_llm.data.embedded.world import (
    ACTIVITIES,
    OPPOSITE_WORDS,
    P_YES,
    PEOPLE,
    UNKNOWN_WORDS,
    Activity,
    Fact,
    draw_facts,
    question,
    statement,
)
from ensemble_uq_llm.data.example import Example

CLASS_NAMES: Final = ("no", "yes")
FACTS: Final = (3, 5)
LONG_FACTS: Final = (10, 14)
UNKNOWABLE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A passage's facts, the (person, activity) pair that is asked, and the true probability of yes."""

    facts: list[Fact]
    person: str
    activity: Activity
    p_yes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSet:
    """One named set of the synthetic world.

    `answerable` says whether a reader who has the passage can know the true probability of yes;
    `is_shift` whether the set leaves the distribution of the training set.
    """

    name: str
    description: str
    answerable: bool
    is_shift: bool
    default_size: int
    draw: Callable[[Random], Reading]


def _ask(facts: list[Fact], index: int) -> Reading:
    asked = facts[index]
    return Reading(facts=facts, person=asked.person, activity=asked.activity, p_yes=P_YES[asked.word])


def _in_distribution(rng: Random) -> Reading:
    facts = draw_facts(rng, n=rng.randint(*FACTS))
    return _ask(facts, rng.randrange(len(facts)))


def _long_passages(rng: Random) -> Reading:
    facts = draw_facts(rng, n=rng.randint(*LONG_FACTS))
    return _ask(facts, rng.randrange(len(facts)))


def _unknown_words(rng: Random) -> Reading:
    facts = draw_facts(rng, n=rng.randint(*FACTS))
    index = rng.randrange(len(facts))
    facts[index] = asked = replace(facts[index], word=rng.choice(UNKNOWN_WORDS))
    return Reading(facts=facts, person=asked.person, activity=asked.activity, p_yes=UNKNOWABLE)


def _contradictory(rng: Random) -> Reading:
    facts = draw_facts(rng, n=rng.randint(FACTS[0] - 1, FACTS[1] - 1))
    words = rng.sample(rng.choice(OPPOSITE_WORDS), 2)
    index = rng.randrange(len(facts))
    facts[index] = asked = replace(facts[index], word=words[0])
    facts.insert(rng.randrange(len(facts) + 1), replace(asked, word=words[1]))
    p_yes = (P_YES[words[0]] + P_YES[words[1]]) / 2
    return Reading(facts=facts, person=asked.person, activity=asked.activity, p_yes=p_yes)


def _not_in_passage(rng: Random) -> Reading:
    facts = draw_facts(rng, n=rng.randint(*FACTS))
    person, activity = draw_absent(rng, facts)
    return Reading(facts=facts, person=person, activity=activity, p_yes=UNKNOWABLE)


def draw_absent(rng: Random, facts: list[Fact]) -> tuple[str, Activity]:
    """Return a person and an activity that the facts state of nobody.

    In equal parts the person is one of the passage (who does other things) or is not mentioned either.
    """
    stated = {fact.activity for fact in facts}
    present = [fact.person for fact in facts]
    activity = rng.choice([each for each in ACTIVITIES if each not in stated])
    absent = [name for name in PEOPLE if name not in present]
    return rng.choice(present if rng.random() < 0.5 else absent), activity


SETS: Final = (
    SyntheticSet(
        name="train",
        description="short passages, known words; the asked habit is stated once",
        answerable=True,
        is_shift=False,
        default_size=3000,
        draw=_in_distribution,
    ),
    SyntheticSet(
        name="validation",
        description="the same distribution as train, another stream",
        answerable=True,
        is_shift=False,
        default_size=1000,
        draw=_in_distribution,
    ),
    SyntheticSet(
        name="unknown_words",
        description="the asked habit is stated with a frequency word that nobody knows",
        answerable=False,
        is_shift=True,
        default_size=300,
        draw=_unknown_words,
    ),
    SyntheticSet(
        name="not_in_passage",
        description="the passage states the asked habit of nobody",
        answerable=False,
        is_shift=True,
        default_size=300,
        draw=_not_in_passage,
    ),
    SyntheticSet(
        name="long_passages",
        description="passages with at least twice as many habits as any in training",
        answerable=True,
        is_shift=True,
        default_size=300,
        draw=_long_passages,
    ),
    SyntheticSet(
        name="contradictory",
        description="the passage states the asked habit twice, with two incompatible words",
        answerable=False,
        is_shift=True,
        default_size=300,
        draw=_contradictory,
    ),
)


def generate(name: str, *, n: int | None = None, seed: int = 0) -> list[Example]:
    """Return the first n examples (default: the set's own size) of one set's stream.

    Example i depends on `name`, `seed` and i alone. Raises ValueError for an unknown name or n < 0.
    """
    chosen = _find(name)
    size = chosen.default_size if n is None else n
    if size < 0:
        raise ValueError(f"n = {n} is negative; ask for 0 or more examples")
    return [_example(chosen, seed=seed, index=index) for index in range(size)]


def _find(name: str) -> SyntheticSet:
    by_name = {each.name: each for each in SETS}
    if name in by_name:
        return by_name[name]
    close = difflib.get_close_matches(name, by_name, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown synthetic set {name!r}: known are {', '.join(by_name)}{hint}")


def _example(chosen: SyntheticSet, *, seed: int, index: int) -> Example:
    # Random hashes a string seed with SHA-512, so that neighbouring indices give unrelated streams.
    rng = Random(f"{chosen.name}/{seed}/{index}")
    reading = chosen.draw(rng)
    return Example(
        id=f"{chosen.name}-{seed}-{index}",
        fields={
            "question": question(reading.person, reading.activity),
            "passage": " ".join(statement(fact) for fact in reading.facts),
        },
        label=int(rng.random() < reading.p_yes),
        true_probs=(1.0 - reading.p_yes, reading.p_yes),
    )
