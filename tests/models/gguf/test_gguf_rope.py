"""Divisors of rotary frequencies: those of Llama 3.1 and later, to the last, or refused."""

import numpy as np
import pytest

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import load_skeleton
from ensemble_uq_llm.models.gguf.gguf_header import read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_settings import gguf_settings
from tiny_gguf import DIVISORS, divisors, model_keys, model_tensors, tiny_lm, tokenizer_keys, write_gguf

pytest.importorskip("gguf")
ROPE = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
UNKNOWN = "has a tensor 'rope_freqs.weight' that goes with no known scaling, and its rotary frequencies could not be"


def save(path, change=lambda found: found, kind="llama", *, keys=None, **rope):
    model = tiny_lm(kind, hidden_size=256, head_dim=64, rope_parameters=ROPE | rope, max_position_embeddings=131_072)
    tensors = model_tensors(model)
    tensors[DIVISORS] = change(tensors[DIVISORS])
    found = model_keys(model) | tokenizer_keys() | (keys or {})
    return write_gguf(path, {key: value for key, value in found.items() if value is not None}, tensors)


def one_larger(found, place, by):
    found = found.copy()
    found[place] *= 1 + by
    return found


@pytest.mark.parametrize("factor", [2.0, 8.0, 16.0, 32.0])
@pytest.mark.parametrize("base", [1e4, 5e5, 1e6])
def test_the_scaling_is_found_from_its_divisors(tmp_path, factor, base):
    path = save(tmp_path / "a.gguf", factor=factor, rope_theta=base)

    assert gguf_settings(read_gguf_header(path)).rope_parameters == ROPE | {"factor": factor, "rope_theta": base}


def test_divisors_of_one_are_no_scaling(tmp_path):
    path = save(tmp_path / "a.gguf", np.ones_like)

    rope = gguf_settings(read_gguf_header(path)).rope_parameters
    assert rope == {"rope_type": "default", "rope_theta": 5e5}
    load_skeleton(path, bf16=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: one_larger(found, 0, 1e-5),
        lambda found: one_larger(found, len(found) // 2, -1e-5),
        lambda found: one_larger(found, -1, 1e-5),
        lambda found: found[::-1].copy(),
        lambda found: found[:-1],
        lambda found: found * 0,
        lambda found: -found,
        lambda found: found * np.float32("nan"),
        lambda found: found * np.float32("inf"),
        lambda found: np.full_like(found, 8.0),
    ],
)
def test_other_divisors_are_refused(tmp_path, change):
    path = save(tmp_path / "a.gguf", change)

    with pytest.raises(ModelError, match=rf"^model_name: {path} {UNKNOWN}"):
        gguf_settings(read_gguf_header(path))


@pytest.mark.parametrize("rope", [{"low_freq_factor": 2.0}, {"high_freq_factor": 8.0}])
def test_a_scaling_of_other_bounds_is_refused(tmp_path, rope):
    with pytest.raises(ModelError, match=UNKNOWN):
        gguf_settings(read_gguf_header(save(tmp_path / "a.gguf", **rope)))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"llama.rope.freq_base": 1e4}, UNKNOWN),
        ({"llama.rope.freq_base": None}, UNKNOWN),
        ({"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0}, UNKNOWN),
        ({"llama.rope.scaling.type": "longrope"}, "says llama.rope.scaling.type = 'longrope', and its rotary"),
    ],
)
def test_keys_that_go_with_other_frequencies_are_refused(tmp_path, keys, message):
    with pytest.raises(ModelError, match=message):
        gguf_settings(read_gguf_header(save(tmp_path / "a.gguf", keys=keys)))


def test_divisors_that_are_a_matrix_are_refused(tmp_path):
    path = save(tmp_path / "a.gguf", lambda found: found[None])

    with pytest.raises(ModelError, match=r"rope_freqs.weight in .* has shape \(1, 32\) and is stored as F32; it must"):
        gguf_settings(read_gguf_header(path))


def test_the_divisors_of_these_tests_follow_the_published_rule():
    """The first, one in the band between, and the last of Llama 3.1's, of which the bounds are simple numbers."""
    found = divisors(tiny_lm(hidden_size=512, head_dim=128, rope_parameters=ROPE).config)

    wavelengths = 2 * np.pi * 5e5 ** (np.arange(0, 128, 2) / 128)
    assert (found[wavelengths < 8192 / 4] == 1).all()
    assert (found[wavelengths > 8192] == 8).all()
    between = found[(wavelengths > 8192 / 4) & (wavelengths < 8192)]
    assert len(between) == 6
    assert (np.diff(between) > 0).all()
