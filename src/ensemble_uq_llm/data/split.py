"""Hold out a share of the training examples (for calibration), with the same mix of labels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Split:
    """Two disjoint parts of a list of examples; together they are the list, each in its order."""

    kept: list[Example]
    held_out: list[Example]


def hold_out(examples: Sequence[Example], *, fraction: float, seed: int) -> Split:
    """Hold out `fraction` (above 0, below 1) of the examples, and of each label as near as can be.

    An example's place depends on the seed and the ids, not on the order of the rows. Raises ValueError
    for a fraction outside (0, 1), DataError if one part would be empty.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction = {fraction} must be above 0 and below 1")
    groups: dict[int | None, list[str]] = defaultdict(list)
    for example in examples:
        groups[example.label].append(example.id)
    target = round(fraction * len(examples))
    if not 0 < target < len(examples):
        raise DataError(f"a share of {fraction} of {len(examples)} examples leaves one part empty; give more examples")
    counts = _rounded_shares({label: len(ids) for label, ids in groups.items()}, fraction, target)
    chosen = {
        identifier
        for label, ids in groups.items()
        for identifier in sorted(ids, key=lambda each: _rank(each, seed))[: counts[label]]
    }
    return Split(
        kept=[example for example in examples if example.id not in chosen],
        held_out=[example for example in examples if example.id in chosen],
    )


def _rounded_shares(sizes: dict[int | None, int], fraction: float, target: int) -> dict[int | None, int]:
    """Round each label's share so that they add up to the target (largest remainders get the rest)."""
    exact = {label: fraction * size for label, size in sizes.items()}
    counts = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (counts[label] - exact[label], str(label)))
    for label in by_remainder[: target - sum(counts.values())]:
        counts[label] += 1
    return counts


def _rank(identifier: str, seed: int) -> bytes:
    return blake2b(f"{seed}/{identifier}".encode(), digest_size=16).digest()
