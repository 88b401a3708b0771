"""Buckets: every token once, padded by its own length alone, in few shapes."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.models.attention.buckets import TOKENS_AT_ONCE, make_buckets, padded_length

LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=40).map(np.array)


@given(LENGTHS)
def test_every_token_has_one_place_and_padding_repeats_the_last(lengths_B):
    ends_B = np.cumsum(lengths_B)
    buckets = make_buckets(lengths_B)
    rows = torch.cat([bucket.rows_SP.view(-1) for bucket in buckets.each])
    assert rows[buckets.places_T].tolist() == list(range(ends_B[-1]))
    sequences = torch.cat([bucket.sequences_S for bucket in buckets.each])
    assert sequences[buckets.places_B].tolist() == list(range(len(lengths_B)))
    for bucket in buckets.each:
        padding = set(bucket.padding_R.tolist())
        assert len(padding) == bucket.rows_SP.numel() - bucket.lengths_S.sum()
        places = bucket.rows_SP.shape[1]
        assert all(place % places >= bucket.lengths_S[place // places] for place in padding)
        for sequence, length, rows_P in zip(bucket.sequences_S, bucket.lengths_S, bucket.rows_SP, strict=True):
            assert length == lengths_B[sequence]
            last = ends_B[sequence] - 1
            assert rows_P[:length].tolist() == list(range(last + 1 - length, last + 1))
            assert set(rows_P[length:].tolist()) <= {last}


@given(LENGTHS)
def test_shapes_are_few_and_bounded(lengths_B):
    for bucket in make_buckets(lengths_B).each:
        count, places = bucket.rows_SP.shape
        assert {padded_length(length) for length in bucket.lengths_S.tolist()} == {places}
        assert count & (count - 1) == 0
        assert count == 1 or count * places <= TOKENS_AT_ONCE


def test_padding_is_less_than_an_eighth_beyond_64_and_lengths_are_few():
    for length in range(1, 5000):
        padded = padded_length(length)
        assert length <= padded < length + max(8, length / 8)
        assert padded_length(padded) == padded
    assert len({padded_length(length) for length in range(1, 1025)}) == 8 + 4 * 8
