import threading

import numpy as np
import pytest

from ensemble_uq_llm.statistics import draws as drawing
from ensemble_uq_llm.statistics.draws import over_draws


def first_numbers(generators):
    return {"first": np.array([rng.random() for rng in generators])}


def drawn(**settings):
    return over_draws(first_numbers, **{"draws": 50, "examples": 10, "seed": 1} | settings)["first"]


@pytest.mark.parametrize("chunk", [1, 70, 10**6])
def test_a_draw_depends_on_the_seed_and_its_number_alone(monkeypatch, chunk):
    expected = [rng.random() for rng in np.random.default_rng(1).spawn(50)]
    monkeypatch.setattr(drawing, "_CHUNK", chunk)

    assert drawn().tolist() == expected
    assert drawn(draws=20).tolist() == expected[:20]
    assert drawn(seed=2).tolist() != expected


def test_chunks_hold_no_more_numbers_than_they_should(monkeypatch):
    sizes = []
    monkeypatch.setattr(drawing, "_CHUNK", 70)
    over_draws(lambda some: sizes.append(len(some)) or first_numbers(some), draws=50, examples=10, seed=1)

    assert sorted(sizes) == [1, *[7] * 7]


def test_what_fails_in_a_thread_fails_here():
    def fail(_):
        raise ZeroDivisionError(threading.current_thread().name)

    with pytest.raises(ZeroDivisionError, match="ThreadPoolExecutor"):
        over_draws(fail, draws=3, examples=10, seed=1)
