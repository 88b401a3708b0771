"""Work side by side on the cores of a CPU.

An operation on the small tensors of a small model gains little from a second thread, and nothing between operations
gains from one. So each lane does its own work with its share of the threads, and lanes meet only at the end.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def lane_count(device: torch.device) -> int:
    """Return how many lanes a device has: one for each of PyTorch's threads on a CPU, one elsewhere."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], *, device: torch.device) -> list[Result]:
    """Do `work` on every item, as many at a time as the device has lanes; the results are in the items' order.

    Gradients and inference modes are a thread's own: `work` sets what it needs.

    Raises:
        What `work` raises first in the items' order, once no lane works any more.
    """
    lanes = min(len(items), lane_count(device))
    if lanes <= 1:
        return [work(item) for item in items]
    pool = _pool(lanes, lane_count(device) // lanes)
    running = [pool.submit(work, item) for item in items]
    try:
        wait(running)  # an error must find the memory of the other lanes free again
    except BaseException:  # a request to stop, which nothing else interrupts
        for each in running:
            each.cancel()
        raise
    results = []
    while running:  # no frame may hold the future of an error, for that would be a circle that holds its tensors
        results.append(running.pop(0).result())
    return results


@lru_cache(maxsize=4)
def _pool(lanes: int, threads: int) -> ThreadPoolExecutor:
    """Threads that stay, since starting one costs more than a small operation."""
    own = torch.get_num_threads()
    pool = ThreadPoolExecutor(lanes, "lane", initializer=_take, initargs=(threads,))
    everyone = Barrier(lanes)
    try:
        wait([pool.submit(everyone.wait) for _ in range(lanes)])
    except BaseException:  # a request to stop: who waits for the others would wait for ever
        everyone.abort()
        raise
    torch.set_num_threads(own)  # what a thread set last is what the process's later threads start with
    return pool


def _take(threads: int) -> None:
    torch.get_num_threads()  # the first question in a thread would overwrite what was set before it
    torch.set_num_threads(threads)
