"""The small synthetic world: people, their habits, and frequency words of known probability.

A passage states several habits ("Anna usually drinks tea. Ben never swims in the lake."), a question
asks about one ("does anna drink tea"), and each frequency word fixes how probable the answer yes is.
Probabilities and weights are symmetric around one half, so a reader who knows nothing about the asked
habit can do no better than to believe 0.5: the unanswerable sets take their truth from that.
"""

from dataclasses import dataclass
from random import Random
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyWord:
    """A frequency word, the probability of yes that it means, and its share among stated habits."""

    text: str
    p_yes: float
    weight: float
    negative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Something that people do: the verb's base form, its third person, and what follows."""

    base: str
    third: str
    rest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One stated habit: who, how often (a known or a made-up word), and what."""

    person: str
    word: str
    activity: Activity


# "sometimes" is kept scarce: its answers are as uncertain as those that nobody can know, so a large
# share of it would put a low ceiling on how well any uncertainty can tell unanswerable questions apart.
WORDS: Final = (
    FrequencyWord(text="always", p_yes=0.98, weight=0.22),
    FrequencyWord(text="usually", p_yes=0.90, weight=0.20),
    FrequencyWord(text="often", p_yes=0.75, weight=0.06),
    FrequencyWord(text="sometimes", p_yes=0.50, weight=0.04),
    FrequencyWord(text="seldom", p_yes=0.25, weight=0.06, negative=True),
    FrequencyWord(text="rarely", p_yes=0.10, weight=0.20, negative=True),
    FrequencyWord(text="never", p_yes=0.02, weight=0.22, negative=True),
)
P_YES: Final = {word.text: word.p_yes for word in WORDS}
OPPOSITE_WORDS: Final = (("always", "never"), ("usually", "rarely"), ("often", "seldom"))

PEOPLE: Final = (
    "Adam", "Alice", "Anna", "Ben", "Carl", "Clara", "David", "Diana", "Emma", "Eric", "Eva", "Frank",
    "George", "Grace", "Hanna", "Henry", "Ida", "Jack", "Jane", "Karl", "Kate", "Laura", "Leo", "Lucy",
    "Maria", "Max", "Nina", "Nora", "Oscar", "Paul", "Peter", "Rosa", "Ruth", "Sam", "Sara", "Simon",
    "Tom", "Vera", "Victor", "Walter",
)  # fmt: skip

ACTIVITIES: Final = tuple(
    Activity(base=base, third=third, rest=rest)
    for base, third, rest in (
        ("drink", "drinks", "tea"), ("drink", "drinks", "coffee"), ("drink", "drinks", "milk"),
        ("eat", "eats", "fish"), ("eat", "eats", "apples"), ("eat", "eats", "soup"),
        ("read", "reads", "novels"), ("read", "reads", "poems"), ("read", "reads", "letters"),
        ("write", "writes", "letters"), ("write", "writes", "poems"), ("play", "plays", "chess"),
        ("play", "plays", "football"), ("play", "plays", "the piano"), ("play", "plays", "the guitar"),
        ("swim", "swims", "in the lake"), ("swim", "swims", "in the sea"),
        ("walk", "walks", "in the park"), ("walk", "walks", "to work"),
        ("sleep", "sleeps", "in the park"), ("ride", "rides", "a horse"), ("ride", "rides", "the bus"),
        ("sing", "sings", "in the choir"), ("sing", "sings", "at work"),
        ("bake", "bakes", "bread"), ("bake", "bakes", "cakes"), ("buy", "buys", "bread"),
        ("buy", "buys", "flowers"), ("buy", "buys", "apples"), ("grow", "grows", "flowers"),
        ("paint", "paints", "birds"), ("paint", "paints", "ships"), ("watch", "watches", "birds"),
        ("watch", "watches", "films"), ("wear", "wears", "a hat"), ("wear", "wears", "a coat"),
        ("visit", "visits", "the museum"), ("visit", "visits", "the market"),
        ("clean", "cleans", "the kitchen"), ("cook", "cooks", "in the kitchen"),
    )
)  # fmt: skip

# None of these occurs in the training set, nor in the text that the tiny model was pre-trained on (which has other
# made-up words).
UNKNOWN_WORDS: Final = (
    "blimply", "crandly", "dornily", "efterly", "frobbly", "glantly", "hurnily", "jostrally", "klomply",
    "lurdly", "morvily", "plinkly", "quarnly", "sprondly", "tamberly", "wexily",
)  # fmt: skip


def capitalised(text: str) -> str:
    """Return the text with its first letter in upper case and the rest unchanged."""
    return text[:1].upper() + text[1:]


def statement(fact: Fact) -> str:
    """Return the sentence by which a passage states the fact ("Anna usually drinks tea.")."""
    return f"{fact.person} {fact.word} {fact.activity.third} {fact.activity.rest}."


def question(person: str, activity: Activity) -> str:
    """Return the question about one habit, written as in BoolQ ("does anna drink tea")."""
    return f"does {person.lower()} {activity.base} {activity.rest}"


def draw_word(rng: Random) -> str:
    """Return a known frequency word, drawn with the words' weights."""
    return rng.choices(WORDS, weights=[word.weight for word in WORDS])[0].text


def draw_facts(rng: Random, *, n: int, people: tuple[str, ...] = PEOPLE) -> list[Fact]:
    """Return n facts about n different people and n different activities.

    No two facts share an activity, so that person and activity each identify the fact. Where only the pair
    did, the tiny model found two thirds of the asked words; now it finds 96 %, by the activity alone.

    Raises ValueError where there are fewer than n people or activities.
    """
    who, what = rng.sample(people, n), rng.sample(ACTIVITIES, n)
    return [Fact(person=p, word=draw_word(rng), activity=a) for p, a in zip(who, what, strict=True)]
