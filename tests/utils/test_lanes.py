"""Lanes: every item once, results in order, errors after the last, each lane with its share of the threads."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from ensemble_uq_llm.utils.lanes import lane_count, side_by_side

CPU = torch.device("cpu")


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_a_cpu_has_a_lane_for_each_thread_and_a_gpu_one(four_threads):
    assert lane_count(CPU) == 4
    assert lane_count(torch.device("cuda", 0)) == 1


def test_results_come_in_the_order_of_the_items(four_threads):
    def work(item: int) -> int:
        time.sleep(0.02 * (3 - item % 4))
        return item * item

    assert side_by_side(work, range(9), device=CPU) == [item * item for item in range(9)]


@pytest.mark.parametrize(("items", "lanes", "threads"), [(2, 2, 2), (3, 3, 1), (9, 4, 1)])
def test_lanes_run_at_the_same_time_and_share_the_threads(four_threads, items, lanes, threads):
    together = threading.Barrier(lanes)

    def work(item: int) -> tuple[str, int]:
        if item < lanes:
            together.wait(timeout=30)  # breaks unless so many items are under way
        return threading.current_thread().name, torch.get_num_threads()

    seen = side_by_side(work, range(items), device=CPU)
    assert len({name for name, _ in seen}) <= lanes
    assert {count for _, count in seen} == {threads}
    assert torch.get_num_threads() == 4, "the caller keeps its own threads"


@pytest.mark.parametrize("device", [CPU, torch.device("cuda", 0)])
def test_one_lane_works_in_the_caller_itself(four_threads, device):
    items = range(1) if device.type == "cpu" else range(3)
    here = threading.current_thread()
    assert side_by_side(lambda item: threading.current_thread() is here, items, device=device) == [True] * len(items)


def test_a_lane_within_a_lane_is_no_lane_of_its_own(four_threads):
    def work(item: int) -> list[bool]:
        here = threading.current_thread()
        return side_by_side(lambda _: threading.current_thread() is here, range(2), device=CPU)

    assert side_by_side(work, range(4), device=CPU) == [[True, True]] * 4


def test_threads_that_the_program_starts_later_keep_the_usual_number(four_threads):
    side_by_side(str, range(7), device=CPU)
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [4]


def test_an_error_is_raised_when_no_lane_works_any_more(four_threads):
    finished = []

    def work(item: int) -> None:
        if item == 1:
            raise MemoryError(f"item {item}")
        time.sleep(0.1)
        finished.append(item)

    with pytest.raises(MemoryError, match="item 1"):
        side_by_side(work, range(3), device=CPU)
    assert sorted(finished) == [0, 2]


def test_nothing_to_do_is_done():
    assert side_by_side(str, [], device=CPU) == []
