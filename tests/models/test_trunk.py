"""The trunk: what is computed once for all members and epochs is what each would compute, gradients included."""

import numpy as np
import pytest
import torch
from torch import Generator

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models import trunk
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.memory import PassBudget
from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.models.trunk import cache_trunk
from tiny_models import assert_close, random_sequences, randomise, spec, tiny_config, tiny_decoder

CPU = torch.device("cpu")
SEQUENCES = random_sequences(11, seed=5)
LEAN = ("llama", "llama-biased", "mistral", "qwen2", "qwen3")


def upper(
    family: str = "llama", *, layers: tuple[int, ...] = (2, 3), dtype: torch.dtype = torch.float32
) -> StackedEnsemble:
    """Return members with adapters on some of four layers only."""
    decoder = tiny_decoder(tiny_config(family, num_hidden_layers=4)).to(dtype)
    return randomise(StackedEnsemble(decoder, spec=spec(decoder=decoder, layers=layers), members=trained((1, 2, 3))))


@pytest.mark.parametrize(("layers", "depth"), [((0, 1, 2, 3), 0), ((0, 3), 0), ((1,), 1), ((3, 2), 2), ((3,), 3)])
def test_the_trunk_ends_below_the_lowest_adapter(layers, depth):
    assert upper(layers=layers).trunk_depth == depth


def test_layers_that_stay_transformers_own_have_no_trunk():
    gemma = upper("gemma")
    assert gemma.trunk_depth == 0
    assert cache_trunk(gemma, SEQUENCES, budget=PassBudget(1000)) is None


@pytest.mark.parametrize("family", LEAN)
@pytest.mark.parametrize("layers", [(1, 2), (3,)])
def test_logits_and_gradients_are_those_without_a_cache(family, layers):
    ensemble = upper(family, layers=layers)
    cache = cache_trunk(ensemble, SEQUENCES, budget=PassBudget(60))
    rows = [[4, 0, 9], [9, 1], [7, 7, 4, 10]]
    pack = make_pack([(member, [SEQUENCES[row] for row in own]) for member, own in enumerate(rows)], device=CPU)
    results = []
    for states in (None, cache.of([row for own in rows for row in own])):
        generators = [Generator().manual_seed(member.seed) for member in ensemble.members]
        logits = ensemble(pack, dropout_generators=generators, trunk_TH=states)
        results.append((logits, torch.autograd.grad(logits.square().sum(), ensemble.trainable())))
    (plain, plain_grads), (cached, cached_grads) = results
    assert_close(cached, plain)
    for ours, theirs in zip(cached_grads, plain_grads, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("budget", [1, 40, 10**6])
def test_states_are_those_of_each_sequence_alone(dtype, budget):
    ensemble = upper(dtype=dtype)
    cache = cache_trunk(ensemble, SEQUENCES, budget=PassBudget(budget))
    assert cache.states_TH.dtype == dtype
    for row, tokens in enumerate(SEQUENCES):
        alone = ensemble.trunk(make_pack([(0, [tokens])], device=CPU))
        assert_close(cache.of([row]), alone, relative=1e-5 if dtype == torch.float32 else 1e-2)


def test_states_need_no_gradient():
    cache = cache_trunk(upper(), SEQUENCES, budget=PassBudget(1000))
    assert not cache.of([0, 1]).requires_grad


@pytest.mark.parametrize(("free", "cached"), [(0, False), (1, True)])
def test_states_that_would_fill_the_memory_are_not_kept(free, cached, monkeypatch):
    ensemble = upper()
    needed = sum(map(len, SEQUENCES)) * 32 * 4
    monkeypatch.setattr(trunk, "free_bytes", lambda device: needed * trunk.SHARE_OF_MEMORY - 1 + free)
    assert (cache_trunk(ensemble, SEQUENCES, budget=PassBudget(1000)) is not None) == cached


def test_states_that_do_fill_the_memory_are_done_without(monkeypatch):
    ensemble, empty = upper(), torch.empty

    def full(*sizes, **settings):
        if sizes[0] == sum(map(len, SEQUENCES)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return empty(*sizes, **settings)

    monkeypatch.setattr(torch, "empty", full)
    with pytest.warns(UserWarning, match=r"^out of memory: layers below the adapters run anew in every pass"):
        assert cache_trunk(ensemble, SEQUENCES, budget=PassBudget(1000)) is None


def test_passes_of_the_trunk_that_do_not_fit_are_made_smaller_from_there_on(monkeypatch):
    ensemble, budget = upper(), PassBudget(100)
    expected, whole = cache_trunk(ensemble, SEQUENCES, budget=PassBudget(50)), ensemble.trunk

    def full(pack):
        if len(pack.tokens_T) > 50:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pack)

    monkeypatch.setattr(ensemble, "trunk", full)
    with pytest.warns(UserWarning, match="out of memory: passes of 50 tokens instead of 100 from here on"):
        cache = cache_trunk(ensemble, SEQUENCES, budget=budget)
    assert torch.equal(cache.states_TH, expected.states_TH)
    assert budget.tokens == 50


def test_no_examples_need_no_cache():
    assert cache_trunk(upper(), [], budget=PassBudget(1000)) is None


@pytest.mark.parametrize("budget", [1, 70, 10**6])
def test_predictions_are_those_of_each_member_and_sequence_alone(budget):
    ensemble = upper()
    logits_MNC = member_logits(ensemble, SEQUENCES, budget=budget)
    with torch.no_grad():
        alone = [
            [ensemble(make_pack([(member, [tokens])], device=CPU))[0].numpy() for tokens in SEQUENCES]
            for member in range(3)
        ]
    np.testing.assert_allclose(logits_MNC, np.array(alone), rtol=0, atol=1e-5 * abs(logits_MNC).max())


def test_predictions_run_the_trunk_once_for_all_members(monkeypatch):
    ensemble = upper()
    tokens = []
    whole = ensemble.trunk
    monkeypatch.setattr(ensemble, "trunk", lambda pack: tokens.append(len(pack.tokens_T)) or whole(pack))
    member_logits(ensemble, SEQUENCES, budget=10**6)
    assert tokens == [sum(map(len, SEQUENCES))]
