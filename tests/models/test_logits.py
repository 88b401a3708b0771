"""The logits of all members on all examples: the same however they are cut into passes, grouped and spread."""

import numpy as np
import pytest
import torch

from ensemble_uq_llm.models import logits as logits_module
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.pack import make_pack
from tiny_models import ALL_TARGETS, random_sequences, tiny_ensemble

CPU = torch.device("cpu")


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

    monkeypatch.setattr(logits_module, "make_pack", noted)
    return seen


@pytest.mark.parametrize("budget", [1, 31, 64, 100, 333, 1_000_000])
def test_predictions_do_not_depend_on_the_budget(ensemble, sequences, budget, monkeypatch):
    seen = spans_of_passes(ensemble, monkeypatch)
    logits_MNC = member_logits(ensemble, sequences, budget=budget)
    assert logits_MNC.dtype == np.float32
    assert logits_MNC.shape == (5, 9, 3)
    np.testing.assert_allclose(logits_MNC, reference(ensemble, sequences), rtol=0, atol=1e-5 * abs(logits_MNC).max())
    longest = max(map(len, sequences))
    assert all(spans[-1].stop <= max(budget, longest) for spans in seen)
    assert len(seen) == {1: 45, 1_000_000: 1}.get(budget, len(seen))


def test_members_go_in_groups_where_not_all_fit(ensemble, sequences, monkeypatch):
    seen = spans_of_passes(ensemble, monkeypatch)
    member_logits(ensemble, sequences, budget=2 * max(map(len, sequences)))
    assert {tuple(span.member for span in spans) for spans in seen} == {(0, 1), (2, 3), (4,)}


def test_predictions_do_not_depend_on_the_order_of_rows(ensemble, sequences):
    usual = member_logits(ensemble, sequences, budget=200)
    order = np.random.default_rng(3).permutation(len(sequences))
    mixed = member_logits(ensemble, [sequences[row] for row in order], budget=200)
    np.testing.assert_allclose(mixed, usual[:, order], rtol=0, atol=1e-5 * abs(usual).max())


def test_no_sequences_have_no_logits(ensemble):
    assert member_logits(ensemble, [], budget=100).shape == (5, 0, 3)


@pytest.mark.parametrize("lanes", [2, 3])
def test_predictions_do_not_depend_on_the_lanes(ensemble, sequences, lanes, monkeypatch):
    one_lane = member_logits(ensemble, sequences, budget=100)
    before = torch.get_num_threads()
    torch.set_num_threads(lanes)
    try:
        logits_MNC = member_logits(ensemble, sequences, budget=100)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(logits_MNC, one_lane)


def test_some_members_can_be_asked_alone(ensemble, sequences):
    everyone = member_logits(ensemble, sequences, budget=1)
    for asked in ([3], [4, 0, 2], []):
        np.testing.assert_array_equal(member_logits(ensemble, sequences, budget=1, members=asked), everyone[asked])


def test_predictions_that_run_out_of_memory_are_made_in_smaller_passes(ensemble, sequences, monkeypatch):
    expected = member_logits(ensemble, sequences, budget=200)
    whole = ensemble.forward

    def forward(pack, **settings):
        if pack.tokens_T.numel() > 200:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pack, **settings)

    monkeypatch.setattr(ensemble, "forward", forward)
    with pytest.warns(UserWarning, match="out of memory: passes of 200 tokens instead of 400"):
        assert np.array_equal(member_logits(ensemble, sequences, budget=400), expected)
