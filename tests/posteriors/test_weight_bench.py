"""The bench itself: an error that is planted in samples is found by the check that is there for it."""

import pytest
import torch
from torch import Generator
from weight_bench import (
    SEEDS,
    check_is_one_set_of_weights,
    check_members_are_independent,
    check_moments,
    check_samples_are_independent,
    ensemble_of,
    logits_of,
    parents_of,
)

from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.posteriors.maker import seeded
from ensemble_uq_llm.posteriors.tfb import _Noise
from ensemble_uq_llm.utils.seeding import derive_seed
from tiny_models import random_sequences

LAYER = "model.layers.0.self_attn.q_proj"
ZERO, VARIANCE = torch.zeros(1), torch.full((1,), 0.1**2)
SEQUENCES = random_sequences(5, seed=3, lowest=4, highest=12)


def drawn(generator_for, *, samples=60, scale=1.0):
    """Return what TFB's samples with sigma 0.1 add to their parents' rotated A, [M, S, R, I]."""
    noise = _Noise(parents_of(), generator_for)
    sampled = [noise.sample([0.1 * scale] * len(SEEDS), sample) for sample in range(1, samples + 1)]
    return torch.stack(
        [
            torch.stack([own[index][f"{LAYER}.lora_A.weight"] for own in sampled]) - noise._rotated[LAYER][index].a_RI
            for index in range(len(SEEDS))
        ]
    )


def test_samples_as_they_should_be_pass():
    noise_MSRI = drawn(seeded("tfb"))
    for noise_SRI in noise_MSRI:
        check_moments(noise_SRI.flatten(1), mean_D=ZERO, variance_D=VARIANCE)
    check_members_are_independent(noise_MSRI)
    check_samples_are_independent(noise_MSRI.flatten(2))
    check_is_one_set_of_weights(logits_of(ensemble_of()), SEQUENCES)


@pytest.mark.parametrize("scale", [2**0.5, 2**-0.5])
def test_a_scale_off_by_the_root_of_two_is_found(scale):
    noise_MSRI = drawn(seeded("tfb"), scale=scale)
    with pytest.raises(AssertionError, match=r"the variance is (2\.0|1\.9|0\.5|0\.4)\d+ times what it should be"):
        check_moments(noise_MSRI[0].flatten(1), mean_D=ZERO, variance_D=VARIANCE)


def test_a_mean_that_is_not_the_parents_is_found():
    noise_MSRI = drawn(seeded("tfb"))
    with pytest.raises(AssertionError, match="the mean is off by"):
        check_moments(noise_MSRI[0].flatten(1) + 0.5, mean_D=ZERO, variance_D=VARIANCE)


def test_noise_that_members_share_is_found():
    def shared(_member, sample, use):
        return Generator().manual_seed(derive_seed(sample, use))

    with pytest.raises(AssertionError, match="the noise of two members goes together"):
        check_members_are_independent(drawn(shared))


def test_noise_that_samples_share_is_found():
    def same(member, _sample, use):
        return seeded("tfb")(member, 1, use)

    noise_MSRI = drawn(same)
    with pytest.raises(AssertionError, match="the noise of two members goes together"):
        check_samples_are_independent(noise_MSRI.flatten(2))


def test_a_sample_that_is_another_for_every_token_is_found():
    """The engine's dropout of training draws anew for every token: a distribution over functions, not over weights."""
    ensemble = ensemble_of(dropout=0.3)
    generator = Generator().manual_seed(1)

    @torch.no_grad()
    def token_wise(sequences):
        pack = make_pack([(0, list(sequences))], device=torch.device("cpu"))
        return ensemble(pack, dropout_generators=[generator] * len(SEEDS))

    with pytest.raises(AssertionError, match="a row's logits depend on where it stands"):
        check_is_one_set_of_weights(token_wise, SEQUENCES)
