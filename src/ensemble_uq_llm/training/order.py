"""In which order each member sees the training examples: its own, from its seed."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.utils.seeding import derive_seed


def epoch_batches(seed: int, *, epoch: int, examples: int, batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield one member's batches of an epoch (from 0): a fresh permutation, the last partial batch included."""
    order = np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(examples)
    for start in range(0, examples, batch_size):
        yield order[start : start + batch_size]
