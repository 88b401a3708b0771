import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.split import hold_out
from ensemble_uq_llm.errors import DataError


def some(labels):
    return [Example(id=f"row {index}", fields={}, label=label) for index, label in enumerate(labels)]


def ids(examples):
    return [example.id for example in examples]


@given(
    labels=st.lists(st.sampled_from([0, 1, 2, None]), min_size=10, max_size=200),
    fraction=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**63 - 1),
)
def test_parts_are_disjoint_complete_stratified_and_in_order(labels, fraction, seed):
    examples = some(labels)
    split = hold_out(examples, fraction=fraction, seed=seed)
    assert sorted(ids(split.kept + split.held_out)) == sorted(ids(examples))
    assert ids(split.kept) == [each for each in ids(examples) if each in set(ids(split.kept))]
    assert len(split.held_out) == round(fraction * len(examples))
    for label in set(labels):
        count = sum(example.label == label for example in split.held_out)
        assert abs(count - fraction * labels.count(label)) < 1
    assert hold_out(examples, fraction=fraction, seed=seed) == split


def test_the_order_of_the_rows_does_not_matter():
    examples = some([0, 1] * 50)
    shuffled = random.Random(0).sample(examples, len(examples))
    first, second = (hold_out(each, fraction=0.2, seed=7) for each in (examples, shuffled))
    assert set(ids(first.held_out)) == set(ids(second.held_out))


def test_another_seed_holds_out_others():
    examples = some([0, 1] * 50)
    chosen = [set(ids(hold_out(examples, fraction=0.2, seed=seed).held_out)) for seed in range(20)]
    assert len({frozenset(each) for each in chosen}) == 20
    assert len(set.union(*chosen)) > 90


def test_the_choice_is_the_same_on_every_machine():
    split = hold_out(some([0, 1] * 5), fraction=0.4, seed=42)
    assert ids(split.held_out) == ["row 0", "row 1", "row 3", "row 6"]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fractions_that_are_none(fraction):
    with pytest.raises(ValueError, match="must be above 0 and below 1"):
        hold_out(some([0, 1] * 5), fraction=fraction, seed=0)


@pytest.mark.parametrize("labels", [[], [1], [0, 1]])
def test_too_few_examples(labels):
    with pytest.raises(DataError, match=r"a share of 0\.1 of . examples leaves one part empty; give more examples"):
        hold_out(some(labels), fraction=0.1, seed=0)
