"""The synthetic world: determinism, honest labels, and each set's defining property."""

import math
from collections import defaultdict

import pytest

from ensemble_uq_llm.data.embedded.synthetic import CLASS_NAMES, FACTS, SETS, generate
from ensemble_uq_llm.data.embedded.world import (
    ACTIVITIES,
    OPPOSITE_WORDS,
    P_YES,
    PEOPLE,
    UNKNOWN_WORDS,
    WORDS,
)
from ensemble_uq_llm.data.example import Example

NAMES = tuple(each.name for each in SETS)


def sentences(example: Example) -> list[str]:
    return example.fields["passage"].removesuffix(".").split(". ")


def asked_words(example: Example) -> list[str]:
    """The frequency words with which the passage states the asked habit, found in the text alone."""
    found = []
    for sentence in sentences(example):
        person, word, third, rest = sentence.split(" ", 3)
        base = next(a.base for a in ACTIVITIES if a.third == third and a.rest == rest)
        if example.fields["question"] == f"does {person.lower()} {base} {rest}":
            found.append(word)
    return found


def p_yes(example: Example) -> float:
    assert example.true_probs is not None
    return example.true_probs[1]


def test_the_table_names_every_set_once():
    assert CLASS_NAMES == ("no", "yes")
    assert NAMES == (
        "train", "validation", "unknown_words", "not_in_passage", "long_passages", "contradictory",
    )  # fmt: skip
    assert [each.is_shift for each in SETS] == [False, False, True, True, True, True]
    unanswerable = {each.name for each in SETS if not each.answerable}
    assert unanswerable == {"unknown_words", "not_in_passage", "contradictory"}


def test_the_words_are_symmetric_around_one_half():
    by_p = {word.p_yes: word.weight for word in WORDS}
    assert math.isclose(sum(by_p.values()), 1.0)
    for p, weight in by_p.items():
        assert by_p[round(1 - p, 9)] == weight
    assert all(math.isclose(P_YES[a] + P_YES[b], 1.0) for a, b in OPPOSITE_WORDS)


@pytest.mark.parametrize("name", NAMES)
def test_generation_is_deterministic_and_prefix_stable(name: str):
    long, short = generate(name, n=40, seed=3), generate(name, n=15, seed=3)
    assert long[:15] == short
    assert generate(name, n=40, seed=3) == long
    assert generate(name, n=15, seed=4) != short
    assert len({example.id for example in long}) == 40


@pytest.mark.parametrize("name", NAMES)
def test_records_are_complete(name: str):
    for example in generate(name, n=50):
        assert set(example.fields) == {"question", "passage"}
        assert example.label in (0, 1)
        assert example.true_probs is not None
        assert math.isclose(sum(example.true_probs), 1.0)
        assert example.fields["passage"].endswith(".")


def test_default_sizes_are_used():
    for each in SETS:
        assert len(generate(each.name)) == each.default_size
    assert generate("train", n=0) == []


def test_train_and_validation_share_no_question_with_its_passage():
    texts = [{tuple(sorted(example.fields.items())) for example in generate(name)} for name in ("train", "validation")]
    assert not texts[0] & texts[1]


def test_labels_have_the_stated_frequency():
    labels: dict[float, list[int]] = defaultdict(list)
    for example in generate("train", n=6000, seed=1):
        assert example.label is not None
        labels[p_yes(example)].append(example.label)
    assert set(labels) == set(P_YES.values())
    for p, drawn in labels.items():
        deviation = math.sqrt(p * (1 - p) / len(drawn))
        assert abs(sum(drawn) / len(drawn) - p) < 4 * deviation, p


@pytest.mark.parametrize("name", ["train", "validation", "long_passages"])
def test_answerable_sets_state_the_asked_habit_once_with_its_probability(name: str):
    for example in generate(name, n=200):
        (word,) = asked_words(example)
        assert p_yes(example) == P_YES[word]


def test_in_distribution_sets_keep_to_known_people_and_words():
    for name in ("train", "validation"):
        for example in generate(name, n=300):
            assert FACTS[0] <= len(sentences(example)) <= FACTS[1]
            for sentence in sentences(example):
                assert sentence.split()[0] in PEOPLE
                assert sentence.split()[1] in P_YES


def test_unknown_words_never_occur_in_training():
    assert not set(UNKNOWN_WORDS) & set(P_YES)
    for example in generate("unknown_words", n=100):
        (word,) = asked_words(example)
        assert word in UNKNOWN_WORDS
        assert p_yes(example) == 0.5


def test_not_in_passage_never_states_the_asked_habit():
    for example in generate("not_in_passage", n=300):
        assert asked_words(example) == []
        assert p_yes(example) == 0.5


def test_contradictory_states_the_asked_habit_twice_with_opposite_words():
    for example in generate("contradictory", n=200):
        words = asked_words(example)
        assert any(set(words) == set(pair) for pair in OPPOSITE_WORDS)
        assert len(words) == 2
        assert math.isclose(p_yes(example), 0.5)


def test_long_passages_are_much_longer_than_in_training():
    longest = max(len(sentences(example)) for example in generate("train"))
    assert all(len(sentences(example)) >= 2 * longest for example in generate("long_passages", n=100))


def test_an_unknown_set_is_named_together_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'unknown_word': known are train, .*did you mean 'unknown_words'"):
        generate("unknown_word")
    with pytest.raises(ValueError, match="negative"):
        generate("train", n=-1)
