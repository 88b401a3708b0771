from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.training.order import epoch_batches

GOLDEN = [[1, 4, 2, 6, 3], [0, 7, 5]]
"""The first epoch of member 42 over eight examples: members on disk depend on it."""

SEEDS = st.integers(0, 2**63 - 1)


def batches(seed, epoch, examples, batch_size):
    return [batch.tolist() for batch in epoch_batches(seed, epoch=epoch, examples=examples, batch_size=batch_size)]


@given(seed=SEEDS, epoch=st.integers(0, 100), examples=st.integers(1, 200), batch_size=st.integers(1, 50))
def test_an_epoch_sees_every_example_once(seed, epoch, examples, batch_size):
    found = batches(seed, epoch, examples, batch_size)
    assert sorted(chain(*found)) == list(range(examples))
    config = Config(batch_size=batch_size, gradient_accumulation_steps=1, num_epochs=1)
    assert len(found) == config.optimizer_steps(examples)
    assert all(len(batch) == batch_size for batch in found[:-1])
    assert 1 <= len(found[-1]) <= batch_size


@given(seed=SEEDS, examples=st.integers(1, 100), first=st.integers(1, 20), second=st.integers(1, 20))
def test_the_order_does_not_depend_on_the_batch_size(seed, examples, first, second):
    assert [*chain(*batches(seed, 0, examples, first))] == [*chain(*batches(seed, 0, examples, second))]


def test_members_and_epochs_have_orders_of_their_own():
    orders = [tuple(batches(seed, epoch, 50, 50)[0]) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25


def test_members_that_were_trained_before_keep_their_order():
    assert batches(42, 0, 8, 5) == GOLDEN


def test_rows_index_arrays():
    [batch] = epoch_batches(1, epoch=0, examples=3, batch_size=3)
    assert batch.dtype == np.int64
