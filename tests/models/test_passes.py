"""Passes: nothing lost, nothing twice, within the budget, and no member cut by another's lengths."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models import passes
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.models.passes import (
    bytes_per_token,
    cut_to_budget,
    plan_lanes,
    plan_passes,
    predict_logits,
    token_budget,
)
from tiny_models import ALL_TARGETS, random_sequences, randomise, spec, tiny_ensemble, tiny_llama

CPU = torch.device("cpu")
EXAMPLES = 12
LENGTHS = st.lists(st.integers(1, 30), min_size=EXAMPLES, max_size=EXAMPLES).map(np.array)
ROWS = st.lists(st.integers(0, EXAMPLES - 1), max_size=15).map(lambda rows: np.array(rows, dtype=np.int64))
BUDGETS = st.integers(1, 120)


def pieces(plan, member: int) -> list[list[int]]:
    return [chunk.rows.tolist() for each in plan for chunk in each if chunk.member == member]


@given(st.lists(ROWS, max_size=5), LENGTHS, BUDGETS)
def test_a_plan_holds_every_row_once_in_order_and_within_the_budget(rows_by_member, lengths_N, budget):
    plan = plan_passes(rows_by_member, lengths_N, budget=budget)
    for member, rows in enumerate(rows_by_member):
        assert [row for piece in pieces(plan, member) for row in piece] == rows.tolist()
    for each in plan:
        members = [chunk.member for chunk in each]
        assert members == sorted(set(members))
        assert all(len(chunk.rows) > 0 for chunk in each)
        rows = [row for chunk in each for row in chunk.rows]
        assert lengths_N[rows].sum() <= budget or len(rows) == 1


@given(ROWS.filter(len), st.lists(ROWS, max_size=4), LENGTHS, BUDGETS)
def test_a_member_is_cut_the_same_in_any_company(rows, others, lengths_N, budget):
    alone = pieces(plan_passes([rows], lengths_N, budget=budget), 0)
    for place in range(len(others) + 1):
        company = [*others[:place], rows, *others[place:]]
        assert pieces(plan_passes(company, lengths_N, budget=budget), place) == alone
    assert len(alone) == 1 or lengths_N[rows].sum() > budget, "a member that fits the budget stays whole"


@given(ROWS, LENGTHS, BUDGETS)
def test_a_cut_is_made_only_where_the_next_row_does_not_fit(rows, lengths_N, budget):
    cuts = cut_to_budget(rows, lengths_N, budget=budget)
    for cut, following in pairwise(cuts):
        assert lengths_N[cut].sum() + lengths_N[following[0]] > budget


def test_a_pass_is_filled_to_the_last_token():
    lengths_N = np.array([6, 4, 7])
    rows_by_member = [np.array([0]), np.array([1]), np.array([2])]
    assert [[chunk.member for chunk in each] for each in plan_passes(rows_by_member, lengths_N, budget=10)] == [
        [0, 1],
        [2],
    ]


@given(st.lists(ROWS, max_size=6), LENGTHS, BUDGETS, st.integers(1, 8))
def test_every_member_keeps_to_one_lane_and_is_cut_there_as_ever(rows_by_member, lengths_N, budget, count):
    lanes = plan_lanes(rows_by_member, lengths_N, budget=budget, lanes=count)
    assert len(lanes) == min(count, len(rows_by_member))
    for member, rows in enumerate(rows_by_member):
        alone = pieces(plan_passes([rows], lengths_N, budget=budget), 0)
        assert [found for plan in lanes if (found := pieces(plan, member))] == ([alone] if alone else [])


@given(st.lists(ROWS.filter(len), min_size=1, max_size=6), LENGTHS, st.integers(1, 8))
def test_lanes_are_about_equally_long(rows_by_member, lengths_N, count):
    lanes = plan_lanes(rows_by_member, lengths_N, budget=50, lanes=count)
    sizes = [int(lengths_N[rows].sum()) for rows in rows_by_member]
    loads = [sum(sizes[member] for member in {c.member for each in plan for c in each}) for plan in lanes]
    assert sum(loads) == sum(sizes)
    assert max(loads) - min(loads) <= max(sizes)
    assert [list(dict.fromkeys(c.member for c in plan[0])) for plan in lanes] == [
        sorted(c.member for c in plan[0]) for plan in lanes
    ]


def test_no_members_need_no_pass():
    assert plan_passes([], np.array([], dtype=np.int64), budget=10) == []


@pytest.fixture(scope="module")
def ensemble():
    return tiny_ensemble(seeds=tuple(range(5)), targets=ALL_TARGETS, classes=3)


@pytest.fixture(scope="module")
def sequences():
    return random_sequences(9, seed=1, highest=30)


def reference(ensemble, sequences) -> np.ndarray:
    """One member and one sequence at a time, without planning."""
    with torch.no_grad():
        logits = [
            [ensemble(make_pack([(member, [tokens])], device=CPU))[0] for tokens in sequences]
            for member in range(len(ensemble.members))
        ]
    return np.array([[each.numpy() for each in row] for row in logits])


def spans_of_passes(ensemble, monkeypatch) -> list[tuple]:
    """Return a list that fills with the token spans of every pass from now on."""
    seen = []

    def noted(by_member, *, device):
        pack = make_pack(by_member, device=device)
        seen.append(pack.token_spans)
        return pack

    monkeypatch.setattr(passes, "make_pack", noted)
    return seen


@pytest.mark.parametrize("budget", [1, 31, 64, 100, 333, 1_000_000])
def test_predictions_do_not_depend_on_the_budget(ensemble, sequences, budget, monkeypatch):
    seen = spans_of_passes(ensemble, monkeypatch)
    logits_MNC = predict_logits(ensemble, sequences, budget=budget)
    assert logits_MNC.dtype == np.float32
    assert logits_MNC.shape == (5, 9, 3)
    np.testing.assert_allclose(logits_MNC, reference(ensemble, sequences), rtol=0, atol=1e-5 * abs(logits_MNC).max())
    longest = max(map(len, sequences))
    assert all(spans[-1].stop <= max(budget, longest) for spans in seen)
    assert len(seen) == {1: 45, 1_000_000: 1}.get(budget, len(seen))


def test_members_go_in_groups_where_not_all_fit(ensemble, sequences, monkeypatch):
    seen = spans_of_passes(ensemble, monkeypatch)
    predict_logits(ensemble, sequences, budget=2 * max(map(len, sequences)))
    assert {tuple(span.member for span in spans) for spans in seen} == {(0, 1), (2, 3), (4,)}


def test_predictions_do_not_depend_on_the_order_of_rows(ensemble, sequences):
    usual = predict_logits(ensemble, sequences, budget=200)
    order = np.random.default_rng(3).permutation(len(sequences))
    mixed = predict_logits(ensemble, [sequences[row] for row in order], budget=200)
    np.testing.assert_allclose(mixed, usual[:, order], rtol=0, atol=1e-5 * abs(usual).max())


def test_no_sequences_have_no_logits(ensemble):
    assert predict_logits(ensemble, [], budget=100).shape == (5, 0, 3)


def test_a_wanted_budget_is_taken_as_it_is():
    assert token_budget(tiny_llama(), wanted=77, training=True, device=CPU) == 77


@pytest.mark.parametrize("training", [True, False])
def test_a_budget_follows_the_free_memory_in_powers_of_two(training, monkeypatch):
    decoder = tiny_llama()
    cost = bytes_per_token(decoder, training=training)
    for free, expected in (
        (0, 256),
        (2 * 1024 * cost, 1024),
        (2 * 2047 * cost, 1024),
        (2 * 2048 * cost, 2048),
        (10**15, 8192),
    ):
        monkeypatch.setattr(passes, "free_bytes", lambda device, free=free: free)
        assert token_budget(decoder, wanted=None, training=training, device=CPU) == expected


def test_the_lanes_share_the_free_memory(monkeypatch):
    decoder = tiny_llama()
    free = 2 * 4096 * bytes_per_token(decoder, training=True)
    monkeypatch.setattr(passes, "free_bytes", lambda device: free)
    for lanes, expected in ((1, 4096), (2, 2048), (3, 1024), (4, 1024)):
        monkeypatch.setattr(passes, "lane_count", lambda device, lanes=lanes: lanes)
        assert token_budget(decoder, wanted=None, training=True, device=CPU) == expected


@pytest.mark.parametrize(("hidden", "expected"), [(32, 8192), (256, 8192), (576, 2048), (2048, 1024), (8192, 256)])
def test_wide_models_have_short_passes_on_a_cpu(hidden, expected, monkeypatch):
    monkeypatch.setattr(passes, "free_bytes", lambda device: 10**15)
    with torch.device("meta"):
        decoder = tiny_llama(hidden_size=hidden)
    assert token_budget(decoder, wanted=None, training=True, device=CPU) == expected


@pytest.mark.parametrize("lanes", [2, 3])
def test_predictions_do_not_depend_on_the_lanes(ensemble, sequences, lanes, monkeypatch):
    one_lane = predict_logits(ensemble, sequences, budget=100)
    before = torch.get_num_threads()
    torch.set_num_threads(lanes)
    try:
        logits_MNC = predict_logits(ensemble, sequences, budget=100)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(logits_MNC, one_lane)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ALL_TARGETS], ids=len)
def test_bytes_per_token_covers_what_autograd_keeps(targets, dtype):
    decoder = tiny_llama(num_hidden_layers=8, dtype=dtype)
    estimated = bytes_per_token(decoder, training=True)
    ensemble = randomise(StackedEnsemble(decoder, spec=spec(decoder=decoder, targets=targets), members=trained((1,))))
    weights = {parameter.untyped_storage().data_ptr() for parameter in ensemble.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    pack = make_pack([(0, random_sequences(20, seed=2, lowest=30, highest=40))], device=CPU)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = ensemble(pack)
    assert logits.requires_grad
    measured = sum(kept.values()) / len(pack.tokens_T)
    assert measured < estimated < 2.5 * measured


def test_bytes_per_token_grows_with_layers_and_dtype():
    def cost(training: bool = True, dtype: torch.dtype = torch.float32, **overrides) -> int:
        decoder: nn.Module = tiny_llama(dtype=dtype, **overrides)
        return bytes_per_token(decoder, training=training)

    assert cost(num_hidden_layers=6) == 3 * cost(num_hidden_layers=2)
    assert cost(dtype=torch.bfloat16) * 2 == cost()
    assert cost(training=False, num_hidden_layers=6) < cost(num_hidden_layers=6)
    assert cost(hidden_size=64) > cost()


def test_predictions_that_run_out_of_memory_are_made_in_smaller_passes(ensemble, sequences, monkeypatch):
    expected = predict_logits(ensemble, sequences, budget=200)
    whole = ensemble.forward

    def forward(pack, **settings):
        if pack.tokens_T.numel() > 200:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pack, **settings)

    monkeypatch.setattr(ensemble, "forward", forward)
    with pytest.warns(UserWarning, match="out of memory: passes of 200 tokens instead of 400"):
        assert np.array_equal(predict_logits(ensemble, sequences, budget=400), expected)
