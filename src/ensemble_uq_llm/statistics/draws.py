"""Random draws by the thousand: in chunks that stay in the cache, over the cores, and the same for any of these."""

import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

# Numbers held at once by a thread. Blocks beyond 128 KiB are handed back to the system after every use and
# fetched again page by page, which takes longer than the work itself.
_CHUNK = 2**14
_MOST_THREADS = 8  # beyond, the memory's speed decides

Key = TypeVar("Key", bound=Hashable)
Work: TypeAlias = Callable[[Sequence[np.random.Generator]], Mapping[Key, NDArray[np.float64]]]


@contextmanager
def worker_threads() -> Iterator[ThreadPoolExecutor]:
    """Give one thread a core, each with a linear algebra of one thread: more would wait for each other."""
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        yield pool


def over_draws(work: Work[Key], *, draws: int, examples: int, seed: int) -> dict[Key, NDArray[np.float64]]:
    """Return what `work` makes of every draw's own generator, by key, the draws in order along the first axis.

    A draw depends on the seed and its number alone, not on the chunk or the thread that it falls to.

    Args:
        work: values of some draws, one row a generator; called from several threads at once.
        draws: the number of draws; at least 1.
        examples: the numbers that one draw holds at once.
        seed: of the generators.
    """
    generators = np.random.default_rng(seed).spawn(draws)
    each = max(1, _CHUNK // examples)
    with worker_threads() as pool:
        parts = list(pool.map(work, [generators[at : at + each] for at in range(0, draws, each)]))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
