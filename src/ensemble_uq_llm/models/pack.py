"""Sequences of many members laid end to end in one row: what every layer works on instead of padded batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ensemble_uq_llm.models.attention.buckets import Buckets, make_buckets

Tokens = np.ndarray[tuple[int], np.dtype[np.int32]]


@dataclass(frozen=True, slots=True)
class Span:
    """The rows `start:stop` that belong to `member` (its index in the stack)."""

    member: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One pass: T tokens of B sequences, sorted by member.

    `tokens_T` and `positions_T` are int64 (positions restart at every sequence), `last_B` the index of each
    sequence's last token, `lengths` the B lengths and `longest` the largest. `offsets_B1`, int32, says where each
    sequence starts, and at its end where the last one stops. The spans say which rows are whose: `token_spans`
    among the T tokens, `sequence_spans` among the B sequences. `buckets` put sequences of like length side by
    side, for CPUs.
    """

    tokens_T: Tensor
    positions_T: Tensor
    last_B: Tensor
    offsets_B1: Tensor
    lengths: tuple[int, ...]
    longest: int
    token_spans: tuple[Span, ...]
    sequence_spans: tuple[Span, ...]
    buckets: Buckets | None


def make_pack(sequences_by_member: Sequence[tuple[int, Sequence[Tokens]]], *, device: torch.device) -> Pack:
    """Lay the sequences of each `(member, sequences)` end to end; no sequence may be empty."""
    sequences = [tokens for _, own in sequences_by_member for tokens in own]
    lengths_B = np.array([len(tokens) for tokens in sequences])
    if lengths_B.size == 0 or lengths_B.min() == 0:
        raise ValueError("a pack needs at least one sequence, and every sequence at least one token")
    ends_B = np.cumsum(lengths_B)
    positions_T = np.arange(ends_B[-1]) - np.repeat(ends_B - lengths_B, lengths_B)
    counts = [(member, len(own)) for member, own in sequences_by_member]
    sizes = [(member, sum(map(len, own))) for member, own in sequences_by_member]
    return Pack(
        tokens_T=_to(np.concatenate(sequences).astype(np.int64), device),
        positions_T=_to(positions_T, device),
        last_B=_to(ends_B - 1, device),
        offsets_B1=_to(np.concatenate(([0], ends_B)).astype(np.int32), device),
        lengths=tuple(lengths_B.tolist()),
        longest=int(lengths_B.max()),
        token_spans=_spans(sizes),
        sequence_spans=_spans(counts),
        buckets=make_buckets(lengths_B) if device.type == "cpu" else None,
    )


def _to(values: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(values)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _spans(sizes: Sequence[tuple[int, int]]) -> tuple[Span, ...]:
    spans, start = [], 0
    for member, size in sizes:
        spans.append(Span(member, start, start + size))
        start += size
    return tuple(spans)
