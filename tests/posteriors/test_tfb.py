from dataclasses import replace

import numpy as np
import pytest
import torch
from weight_bench import (
    SEEDS,
    check_is_one_set_of_weights,
    check_members_are_independent,
    equal,
    logits_of,
    parents_of,
    put_on,
)

from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.posteriors.anchor import change_of_member, pooled_answers
from ensemble_uq_llm.posteriors.maker import seeded
from ensemble_uq_llm.posteriors.tfb import Tfb
from tiny_models import random_sequences

A = "model.layers.0.self_attn.v_proj.lora_A.weight"
FEW = {"passes": 3, "rounds": 6}


def made_of(parents, *, samples=3, **settings):
    return Tfb(**(FEW | settings)).make(parents, samples, seeded("tfb"))


@pytest.fixture(scope="module")
def parents():
    return parents_of(anchor=40)


@pytest.fixture(scope="module")
def made(parents):
    return made_of(parents)


def test_sigma_is_the_largest_that_was_accepted_and_what_was_not_is_told(made):
    for facts in made.facts:
        assert 0 < facts["sigma"] < facts["rejected_sigma"]
        assert facts["anchor_nll_after"] <= facts["anchor_nll_before"] * 1.003
        assert facts["anchor_rows"] == 40
        assert 0 <= facts["flip_rate"] <= 1
    assert len({facts["sigma"] for facts in made.facts}) == 3  # each member has its own


def test_the_loss_that_is_told_is_that_of_the_samples_themselves(parents, made):
    """And that of a rejected sigma is above what is allowed."""
    before = pooled_answers(parents, parents.anchor, [lambda: None])
    fresh = parents_of(anchor=40)

    def sample(place):
        def put():
            for index, own in enumerate(made.samples):
                put_on(fresh.ensemble, index, own[place])

        return put

    after = pooled_answers(fresh, fresh.anchor, [sample(place) for place in range(3)])
    for index, facts in enumerate(made.facts):
        change = change_of_member(before, after, index)
        assert change.nll_after == facts["anchor_nll_after"]
        assert change.flip_rate == facts["flip_rate"]
        assert facts["rise_in_standard_errors"] == change.rise / change.standard_error


def test_the_members_are_as_they_were_afterwards_also_where_it_fails(parents, made, monkeypatch):
    assert all(torch.equal(stack, parents_of().stacks()[name]) for name, stack in parents.stacks().items())
    own = parents_of(anchor=5)
    monkeypatch.setattr("ensemble_uq_llm.posteriors.tfb.change_of_member", None)
    with pytest.raises(TypeError, match="not callable"):
        made_of(own)
    assert all(torch.equal(stack, parents.stacks()[name]) for name, stack in own.stacks().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_searches_at_once_equal_each_alone(dtype):
    """Bit for bit: sigma, what it does, and the samples."""
    together = made_of(parents_of(anchor=12, dtype=dtype), rounds=8)
    for index, seed in enumerate(SEEDS):
        alone = made_of(parents_of((seed,), anchor=12, dtype=dtype), rounds=8)
        assert alone.facts[0]["sigma"] > 0
        assert alone.facts[0]["sigma"] == together.facts[index]["sigma"]
        assert equal(together, alone, of=index)


def test_where_no_noise_is_allowed_the_samples_are_the_member_bit_for_bit():
    parents = parents_of(anchor=12)
    anchor = replace(parents.anchor, labels_N=_surest(parents))
    with pytest.warns(
        UserWarning, match=r"no noise was accepted for seed .* so the samples equal the member; hold more"
    ):
        made = made_of(replace(parents, anchor=anchor), tolerance=0.0, rounds=2)
    for index, facts in enumerate(made.facts):
        assert [not each for each in made.samples[index]] == [facts["sigma"] == 0.0] * 3  # nothing differs
    assert 0.0 in {facts["sigma"] for facts in made.facts}


def test_more_is_allowed_in_units_of_the_noise(parents, made):
    looser = made_of(parents, tolerance=0.0, standard_errors=1.0)
    for facts in looser.facts:
        assert facts["rise_in_standard_errors"] <= 1.0
    assert any(one["sigma"] > other["sigma"] for one, other in zip(looser.facts, made.facts, strict=True))


def test_a_search_that_meets_no_resistance_ends_at_the_largest(parents):
    made = made_of(parents, tolerance=1e9, largest=0.1)
    assert [(facts["sigma"], facts["rejected_sigma"]) for facts in made.facts] == [(0.1, None)] * 3


def test_the_adapters_alone_are_changed_and_members_and_samples_have_their_own_noise(parents, made):
    assert made.samples[0][0].keys() == {name for name in parents.stacks() if "lora" in name}
    noisy = made_of(parents, samples=12, rounds=1, tolerance=1e9)
    a_MSRI = torch.stack([torch.stack([each[A] for each in own]) for own in noisy.samples]).double()
    noise_MSRI = a_MSRI - a_MSRI.mean(dim=1, keepdim=True)
    check_members_are_independent(noise_MSRI)


def test_a_sample_is_one_set_of_weights(parents, made):
    own = parents_of()
    put_on(own.ensemble, 0, made.samples[0][0])
    check_is_one_set_of_weights(logits_of(own.ensemble), random_sequences(5, seed=3, lowest=4, highest=12))


def test_more_samples_than_passes_begin_with_the_same(parents, made):
    more = made_of(parents, samples=5)
    assert [facts["sigma"] for facts in more.facts] == [facts["sigma"] for facts in made.facts]
    assert all(torch.equal(more.samples[1][place][A], made.samples[1][place][A]) for place in range(3))


def test_a_member_that_has_learned_nothing_is_refused_by_name():
    parents = parents_of(anchor=5)
    with torch.no_grad():
        parents.ensemble.adapters["model.layers.1.self_attn.q_proj"].lora_b_MOR[1].zero_()
    with pytest.raises(IntegrityError, match=r"seed 43 has learned nothing in model\.layers\.1\.self_attn\.q_proj"):
        made_of(parents)


def test_it_tells_how_far_its_search_is():
    heard = []
    parents = replace(parents_of(anchor=40), tell=heard.append)
    made_of(parents, rounds=2, passes=3, tolerance=1e9, largest=1e9)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(heard) >= 6


def test_it_needs_rows_to_hold_the_noise_against():
    with pytest.raises(DataError, match="needs a calibration split of two labelled examples at least; hold out more"):
        made_of(parents_of())


@pytest.mark.parametrize("setting", [{"rounds": 0}, {"passes": 0}, {"tolerance": -1.0}, {"largest": 0.0}])
def test_settings_with_which_nothing_is_searched_for_are_refused(setting):
    with pytest.raises(ConfigError, match=f"{next(iter(setting))}: must be "):
        Tfb(**setting)


def _surest(parents):
    """Return as labels what the members say, so that most noise makes them worse."""
    return np.median(pooled_answers(parents, parents.anchor, [lambda: None]).classes_MN, axis=0).astype(np.int64)
