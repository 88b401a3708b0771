"""Members that train on as Gaussians: all at once as alone, by the objective alone, and no further than is good."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.models.taps.mean_field import MeanField, VariationalPlan
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.events import Stepped
from ensemble_uq_llm.training.walking.variational_walk import variational_walk
from small_training import DATA, SEEDS, config, examples, member_weights, trained_stack

PLAN = VariationalPlan(epochs=2, rate=1.0, temperature=0.01, precision=100.0, momentum=0.9, memory=0.99, tolerance=10.0)
TO_STOP = TrainingData(train=DATA.train, validation=DATA.validation, stopping=examples(24, seed=5))


def equal(first: MeanField, second: MeanField) -> bool:
    """Whether two Gaussians are equal bit for bit."""
    return first.epochs == second.epochs and all(
        torch.equal(a[name], b[name])
        for a, b in [(first.means, second.means), (first.variances, second.variances)]
        for name in {*first.means, *second.means}
    )


@pytest.mark.parametrize("head", [{}, {"head": "answer", "lora_target_modules": ("q_proj", "lm_head")}], ids=str)
def test_in_company_bit_for_bit_as_alone(tiny_base: Path, head):
    settings = config(use_bf16=True, num_epochs=1, **head)
    together = variational_walk(trained_stack(tiny_base, settings), TO_STOP, settings, PLAN)
    for index in (0, 2):
        ensemble = trained_stack(tiny_base, settings, SEEDS[index : index + 1])
        [alone] = variational_walk(ensemble, TO_STOP, settings, PLAN)
        assert alone.epochs == 2
        assert equal(together[index], alone)
    assert not equal(together[0], together[1])


def test_means_move_variances_are_the_priors_or_less_and_the_ensemble_is_left_as_it_was(tiny_base: Path):
    """Variances begin by the Fisher information, which is never negative, and are kept there."""
    settings = config(num_epochs=1)
    ensemble = trained_stack(tiny_base, settings)
    before, spec = [member_weights(ensemble, index) for index in range(3)], ensemble.spec
    fields = variational_walk(ensemble, TO_STOP, settings, replace(PLAN, memory=1.0))
    for index, own in enumerate(fields):
        assert all(not torch.equal(mean, before[index][name]) for name, mean in own.means.items())
        assert max(float(each.max()) for each in own.variances.values()) <= 1.001 / PLAN.precision
        assert len({float(each.min()) for each in own.variances.values()}) > 1
        assert all(torch.equal(each, before[index][name]) for name, each in member_weights(ensemble, index).items())
    assert ensemble.spec == spec
    assert all(parameter.grad is None for parameter in ensemble.trainable())


def test_nothing_stands_beside_the_objective(tiny_base: Path):
    """Neither dropout, nor clipping, nor AdamW's decay, nor the prior that training had."""
    settings = config(num_epochs=1)
    ensemble = trained_stack(tiny_base, settings)
    expected = variational_walk(ensemble, TO_STOP, settings, PLAN)
    others = config(
        num_epochs=1, lora_dropout=0.3, max_grad_norm=1e-3, weight_decay=0.5, prior_precision=50.0, learning_rate=1.0
    )
    found = variational_walk(ensemble, TO_STOP, others, PLAN)
    assert all(equal(one, other) for one, other in zip(found, expected, strict=True))


def test_members_that_are_loaded_go_the_way_of_those_that_were_trained(tiny_base: Path):
    """Loading moves the scale into B; the way is the same, and the Gaussians are of the loaded form."""
    settings = config(num_epochs=1)
    ensemble = trained_stack(tiny_base, settings)
    expected = variational_walk(ensemble, TO_STOP, settings, PLAN)
    with torch.no_grad():
        for name, each in ensemble.named_stacks():
            each.mul_(2.0 if ".lora_B." in name else 1.0)
    ensemble.rescale(scaling=1.0, dropout=0.0)
    for found, own in zip(variational_walk(ensemble, TO_STOP, settings, PLAN), expected, strict=True):
        assert equal(found, own.scaled(lambda name: 2.0 if ".lora_B." in name else 1.0))


def test_a_member_without_finite_weights_is_told_and_leaves_the_others_alone(tiny_base: Path):
    settings = config(num_epochs=1, use_bf16=True)
    ensemble = trained_stack(tiny_base, settings)
    expected = variational_walk(ensemble, TO_STOP, settings, PLAN)
    with torch.no_grad():
        ensemble.trainable()[0][1] = math.nan
    fields = variational_walk(ensemble, TO_STOP, settings, PLAN)
    assert (fields[1].epochs, fields[1].ended) == (0, "it diverged at step 7: its loss is not finite")
    assert equal(fields[0], expected[0])
    assert equal(fields[2], expected[2])


def test_of_a_mean_that_gets_worse_the_last_good_epoch_is_kept(tiny_base: Path):
    settings = config(num_epochs=1)
    ensemble = trained_stack(tiny_base, settings)
    fields = variational_walk(ensemble, TO_STOP, settings, replace(PLAN, rate=30.0, tolerance=0.0, epochs=3))
    worse = [each for each in fields if each.epochs < 3]
    assert worse, "the case must have something that gets worse"
    assert all("after epoch 3 its mean has a loss of" in each.ended for each in worse)


def test_without_a_stopping_split_it_goes_to_the_end_and_says_so(tiny_base: Path):
    settings = config(num_epochs=1)
    with pytest.warns(UserWarning, match="train with calibration_fraction"):
        fields = variational_walk(trained_stack(tiny_base, settings), replace(TO_STOP, stopping=None), settings, PLAN)
    assert {each.epochs for each in fields} == {2}


def test_a_request_to_stop_leaves_the_ensemble_as_it_was(tiny_base: Path):
    settings = config(num_epochs=1)
    ensemble = trained_stack(tiny_base, settings)
    before = member_weights(ensemble, 0)

    def ask(event):
        if isinstance(event, Stepped):
            stop.request("SIGTERM")

    with stop.listening(), pytest.raises(stop.StopRequested, match="SIGTERM"):
        variational_walk(ensemble, TO_STOP, settings, PLAN, listeners=[ask])
    assert all(torch.equal(each, before[name]) for name, each in member_weights(ensemble, 0).items())
