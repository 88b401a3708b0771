"""Samples of IVON are those of each member's Gaussian, by the bench; planted errors are caught."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bench import BenchError, Gaussian, check_all, check_members_differ, check_scale
from weight_bench import check_is_one_set_of_weights, ensemble_of, logits_of, put_on

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.taps.mean_field import MeanField
from ensemble_uq_llm.posteriors.ivon import Ivon, mean_field_sample
from ensemble_uq_llm.posteriors.maker import Parents, seeded
from tiny_models import random_sequences, tiny_ensemble

MEMBERS = trained((42, 43))


def field_of(seed: int = 0) -> MeanField:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (2, 2), "b": (2,)}
    return MeanField(
        epochs=1,
        means={name: torch.randn(shape, generator=generator) for name, shape in shapes.items()},
        variances={name: torch.rand(shape, generator=generator) + 0.1 for name, shape in shapes.items()},
    )


def flat(tensors) -> np.ndarray:
    return np.concatenate([tensors[name].double().numpy().ravel() for name in ("a", "b")])


def target_of(field: MeanField, scale: float = 1.0) -> Gaussian:
    return Gaussian(flat(field.means), scale * np.diag(flat(field.variances)))


def samples_of(field: MeanField, member=MEMBERS[0], *, count: int = 500, scale: float = 1.0) -> np.ndarray:
    numbers = range(1, count + 1)
    drawn = [mean_field_sample(field, seeded("ivon"), member=member, sample=each, scale=scale) for each in numbers]
    return np.stack([flat(each) for each in drawn])


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_samples_are_those_of_the_gaussian(scale):
    field = field_of()
    samples, target = samples_of(field, scale=scale), target_of(field, scale)
    check_all(samples, target)
    with pytest.raises(BenchError, match=r"scale: .* 1\.[34]"):
        check_scale(samples_of(field, scale=2 * scale), target)


def test_members_have_samples_of_their_own():
    targets = [target_of(field_of(seed)) for seed in range(2)]
    check_members_differ([samples_of(field_of(seed), member) for seed, member in enumerate(MEMBERS)], targets)
    with pytest.raises(BenchError, match="share samples"):
        check_members_differ([samples_of(field_of(seed)) for seed in range(2)], targets)


def test_no_scale_gives_the_mean():
    field = field_of()
    for name, tensor in mean_field_sample(field, seeded("ivon"), member=MEMBERS[0], sample=1, scale=0.0).items():
        assert torch.equal(tensor, field.means[name])


def varied(epochs=(3, 2), ended=("", "after epoch 3 its mean has a loss of 0.7, above 0.6")):
    """Parents whose further training went so far, and what was asked for."""
    ensemble, asked = tiny_ensemble(seeds=(42, 43)), []

    def vary(plan):
        asked.append(plan)
        return [
            MeanField(
                epochs=count,
                means={name: stack[index].detach().clone() for name, stack in ensemble.named_stacks()},
                variances={name: torch.full_like(stack[index], 0.01) for name, stack in ensemble.named_stacks()},
                ended=why,
            )
            for index, (count, why) in enumerate(zip(epochs, ended, strict=True))
        ]

    return Parents(ensemble=ensemble, budget=100, vary=vary), asked


def test_the_maker_asks_for_one_training_of_all_members_and_tells_how_far_each_went():
    parents, asked = varied()
    with pytest.warns(UserWarning, match="ivon: seed 43 has the Gaussian of epoch 2: after epoch 3 its mean"):
        made = Ivon(epochs=3, temperature=0.1).make(parents, 2, seeded("ivon"))
    assert [(plan.epochs, plan.temperature, plan.precision) for plan in asked] == [(3, 0.1, Ivon().precision)]
    assert [fact["epochs"] for fact in made.facts] == [3, 2]
    assert ["ended" in fact for fact in made.facts] == [False, True]
    assert made.facts[0]["mean_standard_deviation"] == pytest.approx(0.1)
    names = {name for name, _ in parents.ensemble.named_stacks()}
    assert all(set(sample) == names for own in made.samples for sample in own)


def test_a_sample_is_one_set_of_weights_and_one_drawn_anew_for_every_call_is_caught():
    ensemble, sequences = ensemble_of(), random_sequences(5, seed=3, lowest=4, highest=12)
    stacks = dict(ensemble.named_stacks())
    field = MeanField(
        epochs=1,
        means={name: stack[0].detach().clone() for name, stack in stacks.items()},
        variances={name: torch.full_like(stack[0], 0.01) for name, stack in stacks.items()},
    )

    def sample(number: int) -> None:
        put_on(ensemble, 0, mean_field_sample(field, seeded("ivon"), member=MEMBERS[0], sample=number, scale=1.0))

    sample(1)
    check_is_one_set_of_weights(logits_of(ensemble), sequences)
    numbers = iter(range(2, 10))

    def anew(sequences):
        sample(next(numbers))
        return logits_of(ensemble)(sequences)

    with pytest.raises(AssertionError, match="a row's logits depend on where it stands"):
        check_is_one_set_of_weights(anew, sequences)


def test_members_that_got_nowhere_are_refused_together_with_the_reason():
    parents, _ = varied(epochs=(0, 0), ended=("it diverged at step 7: its loss is not finite", "its mean is worse"))
    with pytest.raises(ConfigError, match=r"seed 42: it diverged at step 7: .*; seed 43: its mean is worse; lower"):
        Ivon().make(parents, 2, seeded("ivon"))


def test_members_without_a_training_are_refused():
    parents, _ = varied()
    with pytest.raises(ConfigError, match="leave out --adapter"):
        Ivon().make(replace(parents, vary=None), 2, seeded("ivon"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0), ("scale", -1), ("tolerance", -1), ("rate", 0), ("temperature", 0), ("precision", -1),
        ("momentum", 1), ("memory", 1.5), ("rate", float("nan")),
    ],
)  # fmt: skip
def test_settings_without_a_gaussian(setting, value):
    with pytest.raises(ConfigError, match=f"{setting}: must be"):
        Ivon(**{setting: value})


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(ConfigError, match=r"(?s)2 problems:.*epochs: must be .*momentum: must be "):
        Ivon(epochs=0, momentum=1)
