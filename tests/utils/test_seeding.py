from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.utils.seeding import derive_seed

GOLDEN = (3159871589620855869, 6974187527090028977, 2739531750026419498)
"""Members on disk depend on these numbers."""

PATHS = st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1) | st.integers(0), max_size=3)


@given(seed=st.integers(0, 2**63 - 1), path=PATHS)
def test_a_stream_is_a_63_bit_number_and_always_the_same(seed, path):
    assert 0 <= derive_seed(seed, *path) < 2**63
    assert derive_seed(seed, *path) == derive_seed(seed, *path)


def test_streams_differ_by_seed_use_and_step():
    seeds = [derive_seed(seed, use, step) for seed in range(50) for use in ("order", "dropout") for step in range(50)]
    assert len(set(seeds)) == len(seeds)


def test_the_boundaries_of_the_path_count():
    assert derive_seed(1, "a", 1) != derive_seed(1, "a1")
    assert derive_seed(1, 23) != derive_seed(12, 3)


def test_members_that_were_trained_before_keep_their_streams():
    assert derive_seed(42) == GOLDEN[0]
    assert derive_seed(42, "order", 0) == GOLDEN[1]
    assert derive_seed(43, "dropout", 7) == GOLDEN[2]
