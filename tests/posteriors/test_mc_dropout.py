import pytest
import torch
from weight_bench import (
    SEEDS,
    check_is_one_set_of_weights,
    check_members_are_independent,
    check_moments,
    equal,
    logits_of,
    noise_of,
    parents_of,
    put_on,
)

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.posteriors.maker import seeded
from ensemble_uq_llm.posteriors.mc_dropout import McDropout
from tiny_models import random_sequences

Q, V = (f"model.layers.1.self_attn.{name}_proj.lora_A.weight" for name in "qv")


def made_of(parents, *, rate=None, samples=4):
    return McDropout(rate=rate).make(parents, samples, seeded("mc_dropout"))


def test_a_rate_of_zero_is_the_member_bit_for_bit():
    parents = parents_of()
    for index, own in enumerate(made_of(parents, rate=0.0).samples):
        for sample in own:
            assert all(torch.equal(tensor, parents.stacks()[name][index]) for name, tensor in sample.items())


def test_whole_columns_of_a_are_dropped_and_the_others_scaled_up():
    parents = parents_of()
    [[sample, *_], *_] = made_of(parents, rate=0.4).samples
    ratio_RI = sample[Q] / parents.stacks()[Q][0]
    assert sample.keys() == {name for name in parents.stacks() if "lora_A" in name}
    assert ((ratio_RI - 1 / 0.6).abs().lt(1e-5) | ratio_RI.eq(0)).all()
    assert ratio_RI.std(dim=0).max() < 1e-5
    assert 0 < ratio_RI[0].count_nonzero() < ratio_RI.shape[1]


def test_the_mean_over_masks_is_a_and_the_variance_of_a_linear_model_is_its_closed_form():
    """Of y = B A_s x the variance is rate / (1 - rate) * sum_i (B A)_i^2 x_i^2."""
    parents, rate = parents_of(), 0.2
    made = made_of(parents, rate=rate, samples=800)
    generator = torch.Generator().manual_seed(0)
    for index in range(len(SEEDS)):
        b_OR = parents.stacks()[Q.replace("_A", "_B")][index].double()
        a_RI = parents.stacks()[Q][index].double()
        x_I = torch.randn(a_RI.shape[1], generator=generator, dtype=torch.float64)
        outputs_SO = torch.stack([b_OR @ each[Q].double() @ x_I for each in made.samples[index]])
        update_OI = b_OR @ a_RI
        variance_O = rate / (1 - rate) * (update_OI * x_I).square().sum(dim=1)
        projected = outputs_SO[:, :1]  # one output: the others are of the same masks
        check_moments(projected, mean_D=(update_OI @ x_I)[:1], variance_D=variance_O[:1])
        means_RI = torch.stack([each[Q].double() for each in made.samples[index]]).mean(dim=0)
        error_RI = a_RI.abs() * (rate / (1 - rate) / 800) ** 0.5
        assert ((means_RI - a_RI).abs() < 5 * error_RI).all()


def test_layers_that_read_the_same_input_have_masks_of_their_own():
    """As in training, where each adapted layer drops for itself."""
    [own, *_] = made_of(parents_of(), rate=0.5, samples=50).samples
    q_SI, v_SI = (torch.stack([each[name][0] != 0 for each in own]) for name in (Q, V))
    agree = (q_SI == v_SI).double().mean()
    assert abs(agree - 0.5) < 5 * 0.5 / q_SI.numel() ** 0.5


def test_members_and_samples_have_masks_of_their_own():
    parents = parents_of()
    noise_MSRI = noise_of(parents, made_of(parents, rate=0.5, samples=40), Q)
    masks_MSI = (noise_MSRI[:, :, 0] / parents.stacks()[Q].double()[:, None, 0]).sign()
    check_members_are_independent(masks_MSI)
    for masks_SI in masks_MSI:
        check_members_are_independent(masks_SI)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_members_at_once_equal_each_alone(dtype):
    together = made_of(parents_of(dtype=dtype))
    for index, seed in enumerate(SEEDS):
        assert equal(together, made_of(parents_of((seed,), dtype=dtype)), of=index)


def test_a_sample_is_one_set_of_weights():
    parents = parents_of()
    put_on(parents.ensemble, 0, made_of(parents, rate=0.4).samples[0][0])
    check_is_one_set_of_weights(logits_of(parents.ensemble), random_sequences(5, seed=3, lowest=4, highest=12))


def test_without_a_rate_it_is_that_of_training():
    made = made_of(parents_of())
    assert [facts["rate"] for facts in made.facts] == [0.1, 0.1, 0.1]
    assert equal(made, made_of(parents_of(), rate=0.1), of=1, to=1)


def test_members_trained_without_dropout_need_a_rate():
    from dataclasses import replace

    parents = replace(parents_of(), dropouts=(0.1, 0.0, 0.1))
    with pytest.raises(ConfigError, match=r"seed 43 was trained without dropout, so there is none .* --with rate=0\.1"):
        made_of(parents)
    assert made_of(parents, rate=0.1).facts[1] == {"rate": 0.1}


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ConfigError, match="rate: must be "):
        McDropout(rate=rate)
