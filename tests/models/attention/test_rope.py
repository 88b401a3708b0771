"""A row's positions depend on the row alone: every kind of RoPE, against transformers with that row alone."""

import re

import pytest
import torch
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.attention.rope import OF_LENGTH, PerSequenceRotary, check_rope, own_lengths_only
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import member_logits
from tiny_models import (
    assert_close,
    classified,
    peft_member,
    random_sequences,
    randomise,
    spec,
    tiny_config,
    tiny_decoder,
)

LONG = {"original_max_position_embeddings": 16}
KINDS = {
    "default": {},
    "linear": {"factor": 3.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0} | LONG,
    "longrope": {"factor": 4.0, "short_factor": [1.0, 1.2, 1.5, 2.0], "long_factor": [1.5, 3.0, 5.0, 9.0]} | LONG,
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0} | LONG,
    "proportional": {"factor": 2.0, "partial_rotary_factor": 0.5},
}
LENGTHS = (40, 3, 16, 17, 25, 1, 15, 40, 33)
"""Below, at and beyond the trained length of 16 tokens."""


def config_of(kind: str, family: str = "llama"):
    rope = {"rope_type": kind, "rope_theta": 100.0} | KINDS[kind]
    return tiny_config(family, max_position_embeddings=16 if kind == "dynamic" else 64, rope_parameters=rope)


def ensemble_of(kind: str, family: str = "llama", seeds: tuple[int, ...] = (42, 43)) -> StackedEnsemble:
    decoder = tiny_decoder(config_of(kind, family))
    return randomise(StackedEnsemble(decoder, spec=spec(decoder=decoder), members=trained(seeds)))


def rows_alone(ensemble: StackedEnsemble, kind: str, family: str, sequences: list) -> Tensor:
    """Return what a fresh model of transformers with peft's adapter says of each sequence alone."""
    models = [
        peft_member(tiny_decoder(config_of(kind, family)), ensemble, 1, targets=("q_proj", "v_proj"), rank=4, alpha=8)
        for _ in sequences
    ]
    return torch.cat([classified(model, [each]) for model, each in zip(models, sequences, strict=True)])


def test_every_kind_of_transformers_is_tried():
    assert KINDS.keys() == {"default", *ROPE_INIT_FUNCTIONS}


@pytest.mark.parametrize("family", ["llama", "olmo2"], ids=["lean", "as transformers does"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_among_others_equals_that_row_alone_in_transformers(kind, family):
    sequences = [random_sequences(1, seed=n, lowest=length, highest=length)[0] for n, length in enumerate(LENGTHS)]
    ensemble = ensemble_of(kind, family)
    assert ensemble.is_lean == (family == "llama")
    expected = rows_alone(ensemble, kind, family, sequences)
    for budget in (10_000, 60):
        logits_NC = torch.from_numpy(member_logits(ensemble, sequences, budget=budget)[1])
        assert_close(logits_NC, expected)
    backwards = torch.from_numpy(member_logits(ensemble, sequences[::-1], budget=10_000)[1]).flip(0)
    assert_close(backwards, expected)


@pytest.mark.parametrize("kind", OF_LENGTH)
def test_the_kinds_of_length_are_those_that_a_batch_changes(kind):
    """Without the wrapper the rows differ: the test above would prove nothing of a kind that never does."""
    plain = tiny_decoder(config_of(kind)).rotary_emb
    wrapped = PerSequenceRotary(plain, kind)
    positions = torch.cat([torch.arange(5), torch.arange(40)])[None]
    x = torch.zeros(1, 1, 8)
    together, alone = plain(x, positions)[0][0, :5], wrapped(x, torch.arange(5)[None])[0][0]
    assert (together - alone).abs().max() > 0.01
    assert torch.equal(wrapped(x, positions)[0][0, :5], alone)


@pytest.mark.parametrize("kind", [each for each in KINDS if each not in OF_LENGTH])
def test_the_other_kinds_are_left_as_they_are(kind):
    decoder = tiny_decoder(config_of(kind))
    before = decoder.rotary_emb
    own_lengths_only(decoder)
    assert decoder.rotary_emb is before


def test_a_kind_that_transformers_does_not_have_is_named():
    settings = tiny_config()
    settings.rope_parameters = {"rope_type": "su", "rope_theta": 100.0}
    with pytest.raises(ModelError, match=r"rope_type 'su' in config\.json is none that transformers has .*'longrope'"):
        check_rope(settings)


@pytest.mark.parametrize("kind", OF_LENGTH)
def test_a_kind_of_length_for_some_layers_is_refused(kind):
    settings = tiny_config("gemma3_text")
    settings.rope_parameters = {
        "full_attention": {"rope_type": kind, "rope_theta": 100.0} | KINDS[kind],
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    }
    with pytest.raises(ModelError, match=re.escape(f"rope_type {kind!r} for full_attention layers only")):
        check_rope(settings)
