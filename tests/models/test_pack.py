"""What a pack says about its rows, against the sequences that it was made of."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.models.pack import Pack, Span, make_pack

CPU = torch.device("cpu")


def tokens(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def test_sequences_lie_end_to_end_and_positions_restart():
    pack = make_pack([(2, [tokens(5, 6, 7), tokens(8)]), (0, [tokens(9, 9)])], device=CPU)
    assert pack.tokens_T.tolist() == [5, 6, 7, 8, 9, 9]
    assert pack.positions_T.tolist() == [0, 1, 2, 0, 0, 1]
    assert pack.last_B.tolist() == [2, 3, 5]
    assert pack.offsets_B1.tolist() == [0, 3, 4, 6]
    assert (pack.lengths, pack.longest) == ((3, 1, 2), 3)
    assert pack.token_spans == (Span(2, 0, 4), Span(0, 4, 6))
    assert pack.sequence_spans == (Span(2, 0, 2), Span(0, 2, 3))
    assert {each.dtype for each in (pack.tokens_T, pack.positions_T, pack.last_B)} == {torch.int64}
    assert pack.offsets_B1.dtype == torch.int32, "the kernels of attention take no other"


def test_one_token_is_a_pack():
    pack = make_pack([(0, [tokens(3)])], device=CPU)
    assert (pack.tokens_T.tolist(), pack.positions_T.tolist(), pack.last_B.tolist()) == ([3], [0], [0])
    assert (pack.offsets_B1.tolist(), pack.longest) == ([0, 1], 1)
    assert pack.token_spans == pack.sequence_spans == (Span(0, 0, 1),)


@pytest.mark.parametrize("sequences", [[], [(0, [])], [(0, [tokens()])], [(0, [tokens(1)]), (1, [tokens()])]])
def test_nothing_is_refused(sequences):
    with pytest.raises(ValueError, match="at least one sequence, and every sequence at least one token"):
        make_pack(sequences, device=CPU)


@given(st.lists(st.lists(st.lists(st.integers(0, 96), min_size=1, max_size=5), max_size=4), max_size=5).filter(any))
def test_every_row_is_its_members_own(drawn):
    by_member = [(member, [tokens(*sequence) for sequence in own]) for member, own in enumerate(drawn)]
    pack = make_pack(by_member, device=CPU)
    assert [span.member for span in pack.token_spans] == [member for member, _ in by_member]
    for (_, own), rows, count in zip(by_member, pack.token_spans, pack.sequence_spans, strict=True):
        assert pack.tokens_T[rows.start : rows.stop].tolist() == [token for sequence in own for token in sequence]
        assert pack.positions_T[rows.start : rows.stop].tolist() == [i for each in own for i in range(len(each))]
        assert pack.lengths[count.start : count.stop] == tuple(map(len, own))
    assert pack.longest == max(pack.lengths)
    assert pack.offsets_B1[0] == 0
    assert pack.offsets_B1.diff().tolist() == list(pack.lengths)
    assert torch.equal(pack.offsets_B1[1:] - 1, pack.last_B)
    assert_covered(pack)


def assert_covered(pack: Pack) -> None:
    for spans, size in ((pack.token_spans, len(pack.tokens_T)), (pack.sequence_spans, len(pack.lengths))):
        assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])]
        assert spans[-1].stop == size
